//! An operator's program: calls the Console's v2 API with an API key, signed as docs/contract.md section 5 says.

use std::io;

use aws_lc_rs::hmac;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::client::{Answer, Client, block_on};

/// An API key as `telovix-console-stub apikey create` prints it.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// Its name.
    pub id: String,
    /// Its secret, whose bytes are the HMAC's key.
    pub secret: String,
}

impl ApiKey {
    /// The four headers of one call at this time (Unix seconds).
    pub fn sign(
        &self,
        method: &str,
        path: &str,
        time: i64,
        nonce: &str,
        body: &[u8],
    ) -> [(String, String); 4] {
        let digest = hex(&Sha256::digest(body));
        let text = format!("{method}\n{path}\n{time}\n{nonce}\n{digest}");
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        let signature = hex(hmac::sign(&key, text.as_bytes()).as_ref());
        [
            ("X-Telovix-Key-ID".to_owned(), self.id.clone()),
            ("X-Telovix-Timestamp".to_owned(), time.to_string()),
            ("X-Telovix-Nonce".to_owned(), nonce.to_owned()),
            ("X-Telovix-Signature".to_owned(), format!("sha256={signature}")),
        ]
    }

    /// Makes one signed call now.
    pub fn call(
        &self,
        client: &Client,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> io::Result<Answer> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let nonce = uuid::Uuid::new_v4().to_string();
        let now = jiff::Timestamp::now().as_second();
        let signed = self.sign(method, path, now, &nonce, body.as_bytes());
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(signed.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        block_on(client.call(method, path, &headers, body.as_bytes()))
    }
}

fn hex(bytes: &[u8]) -> String {
    telovix_contract::token::hex(bytes)
}
