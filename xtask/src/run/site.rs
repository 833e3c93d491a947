//! The instance's folder: programs, configuration, queue, mailboxes. Removed when the demonstration ends.

use nix::unistd::{Gid, Uid, User, chown, geteuid};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The login at the provider.
pub(super) const LOGIN: (&str, &str) = ("office", "correct:horse");

/// Who runs the instance when root calls: it needs no rights, so it gets none.
const UNPRIVILEGED: &str = "nobody";

pub(super) struct Site {
    folder: PathBuf,
    pub(super) user: String,
    uid: Uid,
    gid: Gid,
    pub(super) listens: SocketAddr,
}

impl Site {
    pub(super) fn prepare(provider: SocketAddr) -> io::Result<Site> {
        let who = match geteuid().is_root() {
            true => User::from_name(UNPRIVILEGED)?,
            false => User::from_uid(geteuid())?,
        };
        let who = who.ok_or_else(|| io::Error::other("this user is not in the password file"))?;
        let folder = std::env::temp_dir().join(format!("oxipost-run-{}", std::process::id()));
        let listens = free_address()?;
        let site = Site { folder, user: who.name, uid: who.uid, gid: who.gid, listens };
        site.lay_out()?;
        site.configure(provider)?;
        Ok(site)
    }

    fn lay_out(&self) -> io::Result<()> {
        for name in [
            "",
            "bin",
            "etc",
            "queue",
            "queue/pid",
            "queue/public",
            "queue/private",
            "queue/maildrop",
            "data",
            "mail",
        ] {
            let path = self.folder.join(name);
            std::fs::create_dir(&path)?;
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
            chown(&path, Some(self.uid), Some(self.gid))?;
        }
        let built = std::env::current_exe()?;
        let built = built.parent().unwrap_or(Path::new("."));
        for program in ["master", "oxipost", "postdrop", "postqueue"] {
            std::fs::copy(built.join(program), self.folder.join("bin").join(program))?;
        }
        for name in ["sendmail", "mailq", "postmap", "postconf", "postfix", "postsuper", "postcat"] {
            std::os::unix::fs::symlink("oxipost", self.folder.join("bin").join(name))?;
        }
        Ok(())
    }

    fn configure(&self, provider: SocketAddr) -> io::Result<()> {
        let etc = self.folder.join("etc");
        let here = self.folder.display();
        let relay = format!("[{}]:{}", provider.ip(), provider.port());
        std::fs::write(
            etc.join("main.cf"),
            format!(
                "compatibility_level = 3.6
queue_directory = {here}/queue
data_directory = {here}/data
command_directory = {here}/bin
daemon_directory = {here}/bin
mail_owner = {user}
maillog_file = {here}/data/maillog
maillog_file_prefixes = {here}
inet_interfaces = loopback-only
inet_protocols = ipv4
myhostname = mail.example.test
mydestination = example.test, $myhostname
mynetworks = 127.0.0.0/8
alias_maps =
mail_spool_directory = {here}/mail/

# the provider: submission port, STARTTLS, login
relayhost = {relay}
smtp_tls_security_level = encrypt
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = hash:{here}/etc/relay_password
smtp_sasl_security_options = noanonymous
",
                user = self.user
            ),
        )?;
        let master_cf = include_str!("../../../conf/master.cf").replacen(
            "smtp      inet",
            &format!("{} inet", self.listens),
            1,
        );
        std::fs::write(etc.join("master.cf"), master_cf)?;
        let password = etc.join("relay_password");
        std::fs::write(&password, format!("{relay} {}:{}\n", LOGIN.0, LOGIN.1))?;
        std::fs::set_permissions(&password, PermissionsExt::from_mode(0o600))?;
        chown(&password, Some(self.uid), Some(self.gid))?;
        let built = self.command("postmap").arg(format!("hash:{}", password.display())).status()?;
        if built.success() { Ok(()) } else { Err(io::Error::other("postmap failed")) }
    }

    pub(super) fn start(&self) -> io::Result<Server> {
        let mut command = Command::new(self.program());
        command.arg("-c").arg(self.folder.join("etc")).arg("-d").stdin(Stdio::null());
        // A group of its own: Ctrl-C is for the demonstration, which then stops the server in order.
        self.drop_rights(&mut command).process_group(0);
        Ok(Server(command.spawn()?))
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.folder.join("bin").join(name));
        command.arg("-c").arg(self.folder.join("etc"));
        self.drop_rights(&mut command);
        command
    }

    fn drop_rights<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if geteuid().is_root() {
            command.uid(self.uid.as_raw()).gid(self.gid.as_raw());
        }
        command
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn program(&self) -> PathBuf {
        self.folder.join("bin/master")
    }

    /// Where the local recipient's mail appears.
    pub(super) fn new_mail(&self) -> PathBuf {
        self.folder.join("mail").join(&self.user).join("new")
    }

    pub(super) fn log_file(&self) -> PathBuf {
        self.folder.join("data/maillog")
    }

    pub(super) fn log_text(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // In the temporary folder: what cannot be removed now goes with the next clean-up of that.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The running instance; stopped when dropped.
pub(super) struct Server(Child);

impl Server {
    pub(super) fn stop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id() as i32);
        if nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).is_ok() {
            let _ = self.0.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            self.stop();
        }
    }
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
