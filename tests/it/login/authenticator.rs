//! An authenticator in software (WebAuthn 6): one ES256 key, no attestation. It does what it is told, also what no good one does.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use stockade::base::{SystemRng, rng};
use stockade::crypto::{b64url, sha256};

const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const ATTESTED: u8 = 0x40;

pub(crate) struct Authenticator {
    key: EcdsaKeyPair,
    id: [u8; 16],
    handle: String,
    counter: u32,
    /// The origin that the browser says it is at.
    pub(crate) origin: String,
    /// Whether it verifies its user.
    pub(crate) verifies: bool,
}

impl Authenticator {
    pub(crate) fn new(origin: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let id = rng::bytes::<16>(&SystemRng);
        Self { key, id, handle: String::new(), counter: 0, origin: origin.to_owned(), verifies: true }
    }

    fn data(&mut self, rp: &str, more: u8) -> Vec<u8> {
        self.counter += 1;
        let verified = if self.verifies { VERIFIED } else { 0 };
        [&sha256(rp.as_bytes())[..], &[PRESENT | verified | more], &self.counter.to_be_bytes()].concat()
    }

    fn client_data(&self, kind: &str, challenge: &Value) -> Vec<u8> {
        let data = json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false });
        data.to_string().into_bytes()
    }

    /// Makes its key for whoever the options of `navigator.credentials.create` are about.
    pub(crate) fn create(&mut self, options: &Value) -> String {
        let options = &options["publicKey"];
        assert_eq!(options["authenticatorSelection"]["userVerification"], "required", "{options}");
        assert_eq!(options["authenticatorSelection"]["residentKey"], "required", "{options}");
        self.handle = options["user"]["id"].as_str().unwrap().to_owned();
        let client_data = self.client_data("webauthn.create", &options["challenge"]);
        let public = self.key.public_key().as_ref();
        let (x, y) = (public[1..33].to_vec(), public[33..65].to_vec());
        let cose = [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32][..], &x, &[0x22, 0x58, 32], &y].concat();
        let id = self.id;
        let mut data = self.data(options["rp"]["id"].as_str().unwrap(), ATTESTED);
        data.extend([0; 16]);
        data.extend(16_u16.to_be_bytes());
        data.extend(id);
        data.extend(cose);
        let attestation = [
            b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".as_slice(),
            &[u8::try_from(data.len()).unwrap()],
            &data,
        ]
        .concat();
        json!({
            "id": b64url::encode(&id),
            "rawId": b64url::encode(&id),
            "type": "public-key",
            "response": {
                "clientDataJSON": b64url::encode(&client_data),
                "attestationObject": b64url::encode(&attestation),
            },
            "extensions": {},
        })
        .to_string()
    }

    /// Signs in, as `navigator.credentials.get` would.
    pub(crate) fn get(&mut self, options: &Value) -> String {
        let options = &options["publicKey"];
        assert_eq!(options["userVerification"], "required", "{options}");
        assert_eq!(options["allowCredentials"].as_array().map(Vec::len), Some(0), "nobody's keys are told: {options}");
        let client_data = self.client_data("webauthn.get", &options["challenge"]);
        let data = self.data(options["rpId"].as_str().unwrap(), 0);
        let signed = [&data[..], &sha256(&client_data)].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        json!({
            "id": b64url::encode(&self.id),
            "rawId": b64url::encode(&self.id),
            "type": "public-key",
            "response": {
                "clientDataJSON": b64url::encode(&client_data),
                "authenticatorData": b64url::encode(&data),
                "signature": b64url::encode(signature.as_ref()),
                "userHandle": self.handle,
            },
            "extensions": {},
        })
        .to_string()
    }

    /// Pretends that its key is another person's.
    pub(crate) fn claim_to_be(&mut self, handle: &str) {
        handle.clone_into(&mut self.handle);
    }

    /// Whose key it is.
    pub(crate) fn handle(&self) -> &str {
        &self.handle
    }

    /// Puts its counter back, as a copy's would be.
    pub(crate) fn turn_back(&mut self) {
        self.counter = 0;
    }
}
