//! Token files: JSON with `access_token`, `expiry`, `refresh_token`. What is written again is all that was there, with
//! the new token in it.

use super::TokenError;
use super::refresh::Issued;
use serde_json::{Map, Value};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Octets of a token file.
const SIZE_LIMIT: u64 = 64 << 10;
/// In a spare file: the refresh token and expiry of the file that it stands for, as they were.
const STANDS_FOR: &str = "oxi_stands_for";

/// What a token file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TokenFile {
    pub(super) user: Option<String>,
    pub(super) access_token: String,
    /// Seconds since 1970.
    pub(super) expiry: u64,
    pub(super) refresh_token: String,
    /// All of it.
    pub(super) fields: Map<String, Value>,
}

/// A token file, or what stands for it because its folder may not be written.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    spare: PathBuf,
    /// What the file itself says, for the spare one.
    original: String,
    pub(super) token: TokenFile,
}

impl Kept {
    /// A spare file counts as long as nobody has put another token into the file itself.
    pub(super) fn read(path: &Path, spare_folder: &Path) -> Result<Kept, TokenError> {
        let failed = |reason: String| TokenError::File { path: path.to_owned(), reason };
        let token = TokenFile::read(path).map_err(failed)?;
        let original = fingerprint(&token);
        let spare = spare_folder.join(format!("{}.json", hex(path.as_os_str().as_encoded_bytes())));
        let newer = TokenFile::read(&spare)
            .ok()
            .filter(|newer| newer.fields.get(STANDS_FOR).and_then(Value::as_str) == Some(original.as_str()));
        Ok(Kept { path: path.to_owned(), spare, original, token: newer.unwrap_or(token) })
    }

    /// Writes it where it was, or if that may not be, beside the queue.
    pub(super) fn write(&mut self) -> Result<(), TokenError> {
        self.token.fields.remove(STANDS_FOR);
        if replace(&self.path, &self.token.print(), true).is_ok() {
            // it would not count any more; that it stays does no harm
            let _ = fs::remove_file(&self.spare);
            return Ok(());
        }
        self.token.fields.insert(STANDS_FOR.to_owned(), Value::String(self.original.clone()));
        let written = self.spare.parent().map_or(Ok(()), make_folder);
        written.and_then(|()| replace(&self.spare, &self.token.print(), false)).map_err(|error| {
            TokenError::File { path: self.spare.clone(), reason: format!("cannot be written: {error}") }
        })
    }
}

impl TokenFile {
    fn read(path: &Path) -> Result<TokenFile, String> {
        let mut text = Vec::new();
        let read = File::open(path).and_then(|file| file.take(SIZE_LIMIT).read_to_end(&mut text));
        read.map_err(|error| error.to_string())?;
        TokenFile::parse(&text)
    }

    pub(super) fn parse(text: &[u8]) -> Result<TokenFile, String> {
        let fields: Map<String, Value> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let string = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
        if !fields.contains_key("access_token") && !fields.contains_key("refresh_token") {
            return Err("neither access_token nor refresh_token".into());
        }
        Ok(TokenFile {
            user: string("user").filter(|user| !user.is_empty()),
            access_token: string("access_token").unwrap_or_default(),
            expiry: fields.get("expiry").and_then(number).unwrap_or(0),
            refresh_token: string("refresh_token").unwrap_or_default(),
            fields,
        })
    }

    /// Takes what the token endpoint gave.
    pub(super) fn take(&mut self, issued: Issued, now: u64) {
        self.access_token = issued.access_token;
        self.expiry = now.saturating_add(issued.expires_in);
        if let Some(refresh_token) = issued.refresh_token {
            self.refresh_token = refresh_token;
        }
        for (name, value) in [
            ("access_token", self.access_token.clone()),
            // the plug-in writes numbers as text
            ("expiry", self.expiry.to_string()),
            ("refresh_token", self.refresh_token.clone()),
        ] {
            self.fields.insert(name.to_owned(), Value::String(value));
        }
    }

    fn print(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(&self.fields).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

/// A number, or one that is written as text.
pub(super) fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn fingerprint(token: &TokenFile) -> String {
    let text = format!("{}\n{}\n{}", token.access_token, token.expiry, token.refresh_token);
    hex(text.as_bytes())
}

/// A short name for anything.
fn hex(octets: &[u8]) -> String {
    net::digest(octets).iter().map(|octet| format!("{octet:02x}")).collect()
}

fn make_folder(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Ok(()) => fs::set_permissions(folder, fs::Permissions::from_mode(0o700)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Puts a new file in the place of another, so that at any time one of them is there, whole. `as_it_was`: there is one, and
/// owner and mode are to stay.
fn replace(path: &Path, content: &[u8], as_it_was: bool) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let before = if as_it_was { Some(fs::metadata(path)?) } else { None };
    let temporary = folder.join(format!(".{name}.new"));
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        if let Some(before) = &before {
            take_over(&file, before)?;
        }
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        // what is left of it is of no use; that it cannot be removed is no worse than that it cannot be written
        let _ = fs::remove_file(&temporary);
        return written;
    }
    File::open(folder)?.sync_all()
}

/// Owner and mode of another file. A group that may not be given gets no rights, and neither does ours.
fn take_over(file: &File, before: &fs::Metadata) -> io::Result<()> {
    let own = file.metadata()?;
    let mut mode = before.mode() & 0o7777;
    if own.uid() != before.uid() {
        std::os::unix::fs::fchown(file, Some(before.uid()), Some(before.gid()))?;
    } else if own.gid() != before.gid() && std::os::unix::fs::fchown(file, None, Some(before.gid())).is_err()
    {
        mode &= !0o070;
    }
    file.set_permissions(fs::Permissions::from_mode(mode))
}
