//! Asking a token endpoint for another access token (RFC 6749 6 and 4.4).

use super::file::TokenFile;
use super::{Settings, TokenError};
use net::https::{HttpsClient, Request};
use serde_json::Value;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);
/// Octets of an answer; tokens of Microsoft have some 2 KiB.
const ANSWER_LIMIT: usize = 64 << 10;
/// Seconds that a token holds if nobody says how long.
const LIFETIME: u64 = 3600;

/// What a token endpoint gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Issued {
    pub(super) access_token: String,
    pub(super) expires_in: u64,
    /// In place of the one that was used.
    pub(super) refresh_token: Option<String>,
}

pub(super) async fn refresh(
    settings: &Settings,
    token: &TokenFile,
    https: &HttpsClient,
) -> Result<Issued, TokenError> {
    let form = form(settings, token);
    let request = Request {
        url: &settings.token_endpoint,
        body: Some(("application/x-www-form-urlencoded", form.as_bytes())),
        timeout: TIMEOUT,
        size_limit: ANSWER_LIMIT,
    };
    let endpoint = &settings.token_endpoint;
    let answer = https.send(&request).await;
    let answer = answer.map_err(|error| TokenError::Refresh(format!("{endpoint}: {error}")))?;
    read(answer.status, &answer.body).map_err(|reason| TokenError::Refresh(format!("{endpoint}: {reason}")))
}

fn form(settings: &Settings, token: &TokenFile) -> String {
    let mut fields =
        vec![("client_id", settings.client_id.as_str()), ("client_secret", settings.client_secret.as_str())];
    match settings.use_client_credentials {
        true => fields.push(("grant_type", "client_credentials")),
        false => {
            fields.extend([("grant_type", "refresh_token"), ("refresh_token", token.refresh_token.as_str())])
        }
    }
    if !settings.scope.is_empty() {
        fields.push(("scope", &settings.scope));
    }
    let pairs: Vec<String> =
        fields.into_iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    pairs.join("&")
}

/// As in web forms, all that is not plain.
fn escaped(text: &str) -> String {
    let octet = |octet: u8| match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(octet).to_string(),
        _ => format!("%{octet:02X}"),
    };
    text.bytes().map(octet).collect()
}

/// The answer, or why there is no token in it (RFC 6749 5).
fn read(status: u16, body: &[u8]) -> Result<Issued, String> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    if status != 200 {
        let said =
            [text("error"), text("error_description")].into_iter().flatten().collect::<Vec<_>>().join(": ");
        return Err(format!("status {status}{}{said}", if said.is_empty() { "" } else { ", " }));
    }
    let access_token = text("access_token").filter(|token| is_sendable(token)).ok_or("no access_token")?;
    Ok(Issued {
        access_token: access_token.to_owned(),
        expires_in: answer.get("expires_in").and_then(super::file::number).unwrap_or(LIFETIME),
        refresh_token: text("refresh_token").filter(|token| !token.is_empty()).map(str::to_owned),
    })
}

/// RFC 6750 2.1: nothing that would end the message it is put into.
fn is_sendable(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|octet| octet.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let issued = |access: &str, expires_in, refresh: Option<&str>| {
            Ok(Issued { access_token: access.into(), expires_in, refresh_token: refresh.map(str::to_owned) })
        };
        for (status, body, expect) in [
            (200, r#"{"access_token":"a","expires_in":9}"#, issued("a", 9, None)),
            (200, r#"{"access_token":"a","expires_in":"9","refresh_token":"r"}"#, issued("a", 9, Some("r"))),
            (200, r#"{"access_token":"a"}"#, issued("a", 3600, None)),
            (200, r#"{"access_token":"a\u0001b"}"#, Err("no access_token")),
            (200, "<html>", Err("no access_token")),
            (
                400,
                r#"{"error":"invalid_grant","error_description":"Bad"}"#,
                Err("status 400, invalid_grant: Bad"),
            ),
            (500, "", Err("status 500")),
        ] {
            assert_eq!(read(status, body.as_bytes()), expect.map_err(str::to_owned), "{body}");
        }
    }

    #[test]
    fn forms() {
        let settings = |use_client_credentials| Settings {
            client_id: "id".into(),
            client_secret: "a&b".into(),
            scope: "x y".into(),
            use_client_credentials,
            ..Settings::default()
        };
        let token = TokenFile { refresh_token: "1//r".into(), ..TokenFile::default() };
        assert_eq!(
            form(&settings(false), &token),
            "client_id=id&client_secret=a%26b&grant_type=refresh_token&refresh_token=1%2F%2Fr&scope=x%20y"
        );
        assert_eq!(
            form(&settings(true), &token),
            "client_id=id&client_secret=a%26b&grant_type=client_credentials&scope=x%20y"
        );
    }
}
