use super::*;
use crate::testing::{Identity as TestIdentity, KeyKind};
use openssl::ssl::{SslContext, SslMethod};

/// A folder with `ec`, `rsa` and `ca` as `.pem` and `.key`, and files made of them.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let ca = TestIdentity::self_signed("Test CA", KeyKind::Ec);
    let (ec, rsa) = (ca.issue("ec.example", KeyKind::Ec), ca.issue("rsa.example", KeyKind::Rsa));
    for (identity, name) in [(&ca, "ca"), (&ec, "ec"), (&rsa, "rsa")] {
        identity.write(folder.path(), name);
    }
    let (ec_pem, ec_key) = (ec.certificate_pem(), ec.key_pem());
    let (rsa_pem, rsa_key) = (rsa.certificate_pem(), rsa.key_pem());
    let write =
        |name: &str, parts: &[&[u8]]| std::fs::write(folder.path().join(name), parts.concat()).unwrap();
    write("both", &[&ec_key, &ec_pem, &ca.certificate_pem(), b"# and\n", &rsa_key, &rsa_pem]);
    write("certificate-first", &[&ec_pem, &ec_key]);
    write("mismatch", &[&ec_key, &rsa_pem]);
    write("mismatch-first", &[&ec_key, &rsa_pem, &rsa_key, &rsa_pem]);
    write("key-only", &[&ec_key]);
    write("two-keys", &[&rsa_key, &ec_key, &ec_pem]);
    write("junk", &[b"hi\n"]);
    write("bad-certificate", &[&ec_key, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]);
    write("traditional", &[&rsa.key.rsa().unwrap().private_key_to_pem().unwrap(), &rsa_pem]);
    folder
}

fn chain(folder: &Path, names: &[&str]) -> CertificateFiles {
    CertificateFiles {
        chain_files: names.iter().map(|name| folder.join(name)).collect(),
        ..CertificateFiles::none()
    }
}

fn pair(folder: &Path, certificate: &str, key: &str) -> CertificateFiles {
    let pair = CertificatePair { kind: "RSA", certificate: folder.join(certificate), key: folder.join(key) };
    CertificateFiles { pairs: vec![pair], ..CertificateFiles::none() }
}

/// The names of the certificates, or the lines logged but those of the library.
fn outcome(files: &CertificateFiles, folder: &Path) -> Result<String, Vec<String>> {
    let names = |certificates: &Certificates| {
        let name = |identity: &Identity| {
            let subject = identity.certificate.subject_name().entries().next().unwrap();
            format!("{}+{}", subject.data().to_string().unwrap(), identity.chain.len())
        };
        certificates.identities.iter().map(name).collect::<Vec<_>>().join(" ")
    };
    let loaded = files.load().and_then(|certificates| {
        let mut context = SslContext::builder(SslMethod::tls_server())?;
        certificates.apply(files, &mut context)?;
        Ok(names(&certificates))
    });
    let shorten = |line: &String| line.replace(&format!("{}/", folder.display()), "");
    let is_ours = |line: &&String| !line.starts_with("TLS library problem");
    loaded.map_err(|error| error.lines.iter().map(|(_, line)| line).filter(is_ours).map(shorten).collect())
}

/// The words are Postfix's; it goes on without any certificate if a chain file is missing, which helps nobody.
#[test]
fn chain_files() {
    let folder = folder();
    for (names, expect) in [
        (&["both"][..], Ok("ec.example+1 rsa.example+0")),
        (&["ec.key", "ec.pem", "ca.pem", "traditional"], Ok("ec.example+1 rsa.example+0")),
        (&["ec.pem"], Err("error loading chain from ec.pem: key not first")),
        (&["certificate-first"], Err("error loading chain from certificate-first: key not first")),
        (&["mismatch"], Err("key at index 1 in mismatch does not match next certificate")),
        (
            &["mismatch-first"],
            Err(
                "error loading certificate chain: key at index 1 in mismatch-first does not match the certificate",
            ),
        ),
        (&["key-only"], Err("No certs for key at index 1 in key-only")),
        (
            &["two-keys"],
            Err("error loading certificate chain: key at index 1 in two-keys not followed by a certificate"),
        ),
        (&["junk"], Err("No PEM data in junk")),
        (&["nix"], Err("open nix: No such file or directory")),
        (&["bad-certificate"], Err("error loading certificate (PEM object number 2) from bad-certificate")),
    ] {
        let last = format!(
            "error loading private keys and certificates from: {}: disabling TLS support",
            names.join(", ")
        );
        let expect = expect.map(str::to_string).map_err(|line| vec![line.to_string(), last]);
        assert_eq!(outcome(&chain(folder.path(), names), folder.path()), expect, "{names:?}");
    }
}

#[test]
fn pairs() {
    let folder = folder();
    for (certificate, key, expect) in [
        ("rsa.pem", "rsa.key", Ok("rsa.example+0")),
        ("traditional", "traditional", Ok("rsa.example+0")),
        ("certificate-first", "certificate-first", Ok("ec.example+0")),
        (
            "rsa.pem",
            "ec.key",
            Err(
                &["RSA private key in ec.key does not match public key in rsa.pem: disabling TLS support"][..],
            ),
        ),
        (
            "nix",
            "rsa.key",
            Err(&[
                "cannot get RSA certificate from file \"nix\": disabling TLS support",
                "open nix: No such file or directory",
            ]),
        ),
        ("junk", "rsa.key", Err(&["cannot get RSA certificate from file \"junk\": disabling TLS support"])),
        ("rsa.pem", "junk", Err(&["cannot get RSA private key from file \"junk\": disabling TLS support"])),
    ] {
        let expect =
            expect.map(str::to_string).map_err(|lines| lines.iter().map(|line| line.to_string()).collect());
        assert_eq!(
            outcome(&pair(folder.path(), certificate, key), folder.path()),
            expect,
            "{certificate} {key}"
        );
    }
}

#[test]
fn authorities() {
    let folder = folder();
    let with_ca =
        |name: &str| CertificateFiles { ca_file: Some(folder.path().join(name)), ..CertificateFiles::none() };
    assert_eq!(outcome(&with_ca("ca.pem"), folder.path()), Ok(String::new()));
    let cannot = |name: &str| {
        format!("cannot load Certification Authority data, CAfile=\"{name}\": disabling TLS support")
    };
    assert_eq!(outcome(&with_ca("junk"), folder.path()), Err(vec![cannot("junk")]));
    let missing = vec![cannot("nix"), "open nix: No such file or directory".into()];
    assert_eq!(outcome(&with_ca("nix"), folder.path()), Err(missing));
    let system = CertificateFiles { append_default_ca: true, ..with_ca("ca.pem") };
    assert_eq!(outcome(&system, folder.path()), Ok(String::new()));
    let by_folder = CertificateFiles { ca_path: Some(folder.path().into()), ..CertificateFiles::none() };
    assert_eq!(outcome(&by_folder, folder.path()), Ok(String::new()));
}

#[test]
fn a_protected_key_is_refused_without_asking() {
    let folder = folder();
    let key = PKey::generate_ed25519().unwrap();
    let cipher = openssl::symm::Cipher::aes_256_cbc();
    let pem = key.private_key_to_pem_pkcs8_passphrase(cipher, b"secret").unwrap();
    std::fs::write(folder.path().join("locked"), pem).unwrap();
    let expect = "cannot get RSA private key from file \"locked\": disabling TLS support".to_string();
    assert_eq!(outcome(&pair(folder.path(), "rsa.pem", "locked"), folder.path()), Err(vec![expect]));
}

#[test]
fn all_files_go_through_the_one_who_may_open_them() {
    let folder = folder();
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let noting = asked.clone();
    let files = CertificateFiles {
        ca_file: Some("/ca.pem".into()),
        open_file: {
            let folder = folder.path().to_path_buf();
            Arc::new(move |path| {
                noting.lock().unwrap().push(path.display().to_string());
                File::open(folder.join(path.strip_prefix("/").unwrap()))
            })
        },
        ..pair(Path::new("/"), "rsa.pem", "rsa.key")
    };
    let certificates = files.load().unwrap();
    asked.lock().unwrap().clear();
    assert!(!files.has_changed(&certificates));
    assert_eq!(*asked.lock().unwrap(), ["/rsa.pem", "/rsa.key", "/ca.pem"]);
    std::fs::write(folder.path().join("rsa.key"), "new").unwrap();
    assert!(files.has_changed(&certificates));
    assert!(format!("{files:?}").contains("rsa.pem"));
}

/// Real files with any octet changed, and cut anywhere.
#[test]
fn damage_is_survived() {
    let folder = folder();
    let whole = std::fs::read(folder.path().join("both")).unwrap();
    for at in (0..whole.len()).step_by(7) {
        fuzz_certificates(&whole[..at]);
        let mut changed = whole.clone();
        changed[at] = changed[at].wrapping_add(13);
        fuzz_certificates(&changed);
    }
}
