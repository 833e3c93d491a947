//! Token files against a token endpoint in this process.

use super::*;
use crate::testing::Endpoint;
use net::{InetProtocols, Resolver};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

struct World {
    folder: tempfile::TempDir,
    endpoint: Endpoint,
    tokens: Tokens,
}

const NOW: u64 = 1_000_000;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

impl World {
    async fn new(answers: &[(u16, &str)]) -> World {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::start(folder.path(), answers).await;
        let settings = Settings {
            client_id: "id".into(),
            client_secret: "secret".into(),
            token_endpoint: endpoint.url("/token"),
            refresh_window: 10,
            ca_bundle_file: Some(folder.path().join("ca.pem")),
            ..Settings::default()
        };
        let https = HttpsClient {
            resolver: Resolver::new(net::resolver::Sources {
                hosts: folder.path().join("hosts"),
                ..net::resolver::Sources::default()
            }),
            inet_protocols: InetProtocols { ipv4: true, ipv6: false },
            ca_file: None,
        };
        let tokens = Tokens::new(settings, https, folder.path().join("spare"), folder.path().join("chroot"));
        World { folder, endpoint, tokens }
    }

    fn put(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }
}

fn token(access: &str, expiry: u64) -> String {
    format!(r#"{{"access_token":"{access}","expiry":"{expiry}","refresh_token":"r1","note":"kept"}}"#)
}

const ISSUED: (u16, &str) = (200, r#"{"access_token":"new","expires_in":100,"refresh_token":"r2"}"#);

#[tokio::test]
async fn a_token_is_renewed_when_it_must_be() {
    for (expiry, refused, expect, is_new) in [
        (NOW + 60, false, "old", false),
        (NOW + 10, false, "new", true),
        (NOW - 60, false, "new", true),
        (NOW + 60, true, "new", true),
    ] {
        let world = World::new(&[ISSUED]).await;
        let path = world.put("token", &token("old", expiry));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let access = world.tokens.access(&path, refused, now()).await.unwrap();
        assert_eq!((access.token.expose(), access.is_new), (expect.as_bytes(), is_new), "{expiry} {refused}");
        let written = std::fs::read_to_string(&path).unwrap();
        let fields: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!((&fields["access_token"], &fields["note"]), (&expect.into(), &"kept".into()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        if is_new {
            assert_eq!((&fields["refresh_token"], &fields["expiry"]), (&"r2".into(), &"1000100".into()));
            let asked = world.endpoint.asked();
            assert!(asked[0].ends_with("grant_type=refresh_token&refresh_token=r1"), "{asked:?}");
            // the new one is found
            assert!(!world.tokens.access(&path, false, now()).await.unwrap().is_new);
        }
    }
}

#[tokio::test]
async fn where_nothing_may_be_written_it_is_kept_elsewhere() {
    let world = World::new(&[ISSUED, (200, r#"{"access_token":"newer","expires_in":100}"#)]).await;
    // a folder in the place of the temporary file stands for all that forbids writing, for root too
    let path = world.put("token", &token("old", 0));
    std::fs::create_dir(world.folder.path().join(".token.new")).unwrap();
    assert_eq!(world.tokens.access(&path, false, now()).await.unwrap().token.expose(), b"new");
    assert!(std::fs::read_to_string(&path).unwrap().contains("old"));
    assert_eq!(world.tokens.access(&path, false, now()).await.unwrap().token.expose(), b"new");
    // the refresh token that came with it is the one that is used
    assert_eq!(world.tokens.access(&path, true, now()).await.unwrap().token.expose(), b"newer");
    assert!(world.endpoint.asked()[1].ends_with("refresh_token=r2"));
    // somebody puts another token into the file: that one counts
    world.put("token", &token("by hand", NOW + 1000));
    assert_eq!(world.tokens.access(&path, false, now()).await.unwrap().token.expose(), b"by hand");
}

#[tokio::test]
async fn failures_are_told() {
    let world = World::new(&[(400, r#"{"error":"invalid_grant"}"#)]).await;
    let path = world.put("token", &token("old", 0));
    let error = world.tokens.access(&path, false, now()).await.unwrap_err().to_string();
    assert!(
        error.starts_with("token refresh failed: https://") && error.ends_with("status 400, invalid_grant"),
        "{error}"
    );
    assert!(std::fs::read_to_string(&path).unwrap().contains("old"));
    let nonsense = world.put("nonsense", "{}");
    assert!(world.tokens.access(&nonsense, false, now()).await.is_err());
}

#[tokio::test]
async fn files_are_found_in_a_chroot_too() {
    let world = World::new(&[]).await;
    let inside = world.put("chroot/etc/tokens/a", "{}");
    let outside = world.put("a", "{}");
    assert_eq!(world.tokens.find("/etc/tokens/a"), Some(inside));
    assert_eq!(world.tokens.find(outside.to_str().unwrap()), Some(outside));
    assert_eq!(world.tokens.find("/no/such"), None);
    assert_eq!(world.tokens.find("secret"), None);
}
