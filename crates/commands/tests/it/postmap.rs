//! postmap and postalias over a script, whose output was recorded from Debian's Postfix.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

#[test]
fn as_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["bin", "conf", "work"] {
        std::fs::create_dir(path(name)).unwrap();
    }
    for name in ["postmap", "postalias"] {
        symlink(env!("CARGO_BIN_EXE_oxipost"), path("bin").join(name)).unwrap();
    }
    let main_cf = "compatibility_level = 3.6\nmyhostname = mail.example.com\n";
    std::fs::write(path("conf/main.cf"), main_cf).unwrap();
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/postmap");
    let output = Command::new("bash")
        .arg(recorded.join("script"))
        .current_dir(path("work"))
        .env("MAIL_CONFIG", path("conf"))
        .env("PATH", format!("{}:/usr/bin:/bin", path("bin").display()))
        .output()
        .unwrap();
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    let expect = std::fs::read_to_string(recorded.join("expect")).unwrap();
    for (n, (line, expect)) in printed.lines().zip(expect.lines()).enumerate() {
        assert_eq!(line, expect, "line {} of testdata/postmap/expect", n + 1);
    }
    assert_eq!(printed.lines().count(), expect.lines().count());
}
