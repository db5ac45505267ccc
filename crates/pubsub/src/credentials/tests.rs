use super::*;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

/// Made for this test by `openssl genrsa 2048`; it opens nothing.
const KEY: &str = include_str!("test-key.pem");

fn key_file(kind: &str, key: &str) -> Vec<u8> {
    json!({
        "type": kind, "client_email": "a@p.iam.gserviceaccount.com", "private_key_id": "k1", "private_key": key,
        "project_id": "p",
    })
    .to_string()
    .into_bytes()
}

#[test]
fn a_token_says_who_for_whom_until_when_and_is_signed() {
    let account = ServiceAccount::from_json(&key_file("service_account", KEY)).unwrap();
    let token = account.token(1_700_000_000).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let json = |part: &str| -> serde_json::Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    assert_eq!(json(parts[0]), json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
    let who = "a@p.iam.gserviceaccount.com";
    assert_eq!(
        json(parts[1]),
        json!({"iss": who, "sub": who, "aud": AUDIENCE, "iat": 1_700_000_000, "exp": 1_700_003_600})
    );
    let signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, account.key.public().as_ref())
        .verify(format!("{}.{}", parts[0], parts[1]).as_bytes(), &signature)
        .unwrap();
}

#[test]
fn a_token_is_kept_until_shortly_before_its_end() {
    let account = Arc::new(ServiceAccount::from_json(&key_file("service_account", KEY)).unwrap());
    let signer = Signer::new(Credentials::ServiceAccount(account));
    let at = |s| signer.header(s).unwrap().unwrap();
    let first = at(1000);
    assert_eq!(at(1000 + 3299), first);
    assert_ne!(at(1000 + 3300), first);
    assert!(first.is_sensitive());
}

#[test]
fn what_is_no_key_file_is_said_without_its_secrets() {
    let said = |text: &[u8]| ServiceAccount::from_json(text).unwrap_err();
    assert!(said(b"{").contains("line 1"));
    assert!(said(&key_file("authorized_user", KEY)).contains("`authorized_user`"));
    let e = said(&key_file("service_account", "secret"));
    assert!(e.contains("no RSA key") && !e.contains("secret"), "{e}");
    let shown = format!("{:?}", Credentials::Bearer("secret".to_owned()));
    assert_eq!(shown, "Bearer(..)");
}
