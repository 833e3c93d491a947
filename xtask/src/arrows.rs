//! Holds `cargo metadata` against the block marked `arrows` in ARCHITECTURE.md: which room may import which.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// What a room that is pure may not depend on: clocks, files, sockets, runtimes.
const EFFECTS: [&str; 5] = ["tokio", "nix", "libc", "socket2", "tokio-openssl"];

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Says how many arrows were checked, or lists those that must not be there.
pub(crate) fn check() -> Result<String, String> {
    let page = std::fs::read_to_string("ARCHITECTURE.md").map_err(|e| format!("ARCHITECTURE.md: {e}"))?;
    let (allowed, pure) = parse_block(&page)?;
    let drawn = drawn_arrows()?;
    let mut wrong = Vec::new();
    for (room, imports) in &drawn {
        let Some(may) = allowed.get(room) else {
            wrong.push(format!("room `{room}` is not in ARCHITECTURE.md's arrows"));
            continue;
        };
        for import in imports {
            let is_room = drawn.contains_key(import);
            if is_room && !may.contains(import) {
                wrong.push(format!("`{room}` imports `{import}`, which ARCHITECTURE.md does not allow"));
            }
            if pure.contains(room) && EFFECTS.contains(&import.as_str()) {
                wrong.push(format!("`{room}` is pure and imports `{import}`"));
            }
        }
    }
    for room in allowed.keys().filter(|room| !drawn.contains_key(*room)) {
        wrong.push(format!("ARCHITECTURE.md names a room `{room}` that does not exist"));
    }
    if wrong.is_empty() {
        Ok(format!("arrows: {} rooms as ARCHITECTURE.md has them", drawn.len()))
    } else {
        Err(wrong.join("\n"))
    }
}

/// Lines `room: import import …`; a room that begins with `*` is pure.
fn parse_block(page: &str) -> Result<(Arrows, BTreeSet<String>), String> {
    let block = page
        .split_once("```arrows\n")
        .and_then(|(_, rest)| rest.split_once("```"))
        .ok_or("ARCHITECTURE.md has no block marked `arrows`")?
        .0;
    let (mut allowed, mut pure) = (Arrows::new(), BTreeSet::new());
    for line in block.lines() {
        let (room, imports) =
            line.split_once(':').ok_or_else(|| format!("ARCHITECTURE.md: no colon: {line}"))?;
        let name = room.trim_start_matches('*').trim().to_owned();
        if room.starts_with('*') {
            pure.insert(name.clone());
        }
        allowed.insert(name, imports.split_whitespace().map(str::to_owned).collect());
    }
    Ok((allowed, pure))
}

/// The normal dependencies of each crate in `crates/`.
fn drawn_arrows() -> Result<Arrows, String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .map_err(|e| format!("cargo metadata: {e}"))?;
    let metadata: Value =
        serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))?;
    let mut drawn = Arrows::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let Some(name) = package["name"].as_str().filter(|_| manifest.contains("/crates/")) else { continue };
        let imports = package["dependencies"].as_array().into_iter().flatten();
        let normal = imports.filter(|d| d["kind"].is_null());
        drawn.insert(name.to_owned(), normal.filter_map(|d| d["name"].as_str()).map(str::to_owned).collect());
    }
    Ok(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks() {
        let page = "x\n```arrows\n*mail:\nspool: mail\n```\n";
        let (allowed, pure) = parse_block(page).expect("a block");
        assert_eq!(allowed["spool"], BTreeSet::from(["mail".to_owned()]));
        assert!(pure.contains("mail") && !pure.contains("spool"));
        assert!(parse_block("no block").is_err());
    }
}
