//! The pages, as their templates see them.

use askama::Template;

use super::qr::Drawing;
use super::words::Scope;
use crate::http::browser::page::Frame;

/// What is wrong with what was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alert {
    pub(super) title: &'static str,
    pub(super) message: &'static str,
    /// The id of the field it is about; empty when it is about the whole.
    pub(super) field: &'static str,
}

impl Alert {
    pub(super) const fn new(title: &'static str, message: &'static str, field: &'static str) -> Self {
        Self { title, message, field }
    }
}

/// A form that the passkey script fills in.
#[derive(Clone, Debug)]
pub(super) struct PasskeyForm {
    pub(super) action: String,
    /// Options of the WebAuthn call, as JSON.
    pub(super) options: String,
    /// What we must know again when the answer comes, sealed.
    pub(super) state: String,
}

#[derive(Debug, Template)]
#[template(path = "login.html")]
pub(super) struct Login<'a> {
    pub(super) frame: Frame,
    pub(super) csrf: String,
    pub(super) action: String,
    pub(super) client: Option<&'a str>,
    pub(super) note: Option<&'a str>,
    pub(super) alert: Option<Alert>,
    pub(super) username: &'a str,
    pub(super) passkey: Option<PasskeyForm>,
    /// Names of providers, and the way to each.
    pub(super) providers: Vec<(String, String)>,
    pub(super) cancel: Option<String>,
}

#[derive(Debug, Template)]
#[template(path = "stronger.html")]
pub(super) struct Stronger<'a> {
    pub(super) frame: Frame,
    pub(super) csrf: String,
    pub(super) client: &'a str,
    pub(super) username: &'a str,
    pub(super) wants_passkey: bool,
    pub(super) passkey: Option<PasskeyForm>,
    pub(super) set_up: String,
    pub(super) cancel: String,
}

#[derive(Debug, Template)]
#[template(path = "second.html")]
pub(super) struct Second {
    pub(super) frame: Frame,
    pub(super) csrf: String,
    pub(super) action: String,
    pub(super) alert: Option<Alert>,
    pub(super) recovery: bool,
    pub(super) has_recovery: bool,
    pub(super) other: String,
    pub(super) restart: String,
}

#[derive(Debug, Template)]
#[template(path = "consent.html")]
pub(super) struct Consent<'a> {
    pub(super) frame: Frame,
    pub(super) csrf: String,
    pub(super) action: String,
    pub(super) client: &'a str,
    pub(super) client_host: Option<String>,
    /// Whether nobody of this house has looked at the client.
    pub(super) unchecked: bool,
    /// The host of the document that describes it.
    pub(super) described_at: Option<String>,
    pub(super) username: &'a str,
    pub(super) scopes: Vec<Scope>,
    pub(super) resources: Vec<String>,
    pub(super) refuse: String,
    pub(super) account: String,
}

#[derive(Debug, Template)]
#[template(path = "device.html")]
pub(super) struct Device<'a> {
    pub(super) frame: Frame,
    pub(super) csrf: String,
    pub(super) action: String,
    pub(super) alert: Option<Alert>,
    pub(super) user_code: &'a str,
}

#[derive(Debug, Template)]
#[template(path = "device_confirm.html")]
pub(super) struct DeviceConfirm<'a> {
    pub(super) frame: Frame,
    pub(super) csrf: String,
    pub(super) action: String,
    pub(super) client: &'a str,
    pub(super) username: &'a str,
    pub(super) user_code: &'a str,
    pub(super) scopes: Vec<Scope>,
    pub(super) refuse: String,
}

/// One sentence, one button.
#[derive(Debug, Template)]
#[template(path = "confirm.html")]
pub(super) struct Confirm<'a> {
    pub(super) frame: Frame,
    pub(super) csrf: String,
    pub(super) action: String,
    pub(super) title: &'a str,
    pub(super) message: &'a str,
    pub(super) act: &'a str,
    pub(super) refuse: String,
    pub(super) stay: &'a str,
}

/// One sentence.
#[derive(Debug, Template)]
#[template(path = "done.html")]
pub(super) struct Done<'a> {
    pub(super) frame: Frame,
    pub(super) title: &'a str,
    pub(super) message: &'a str,
    pub(super) next: Option<(&'a str, String)>,
}

/// One line of a list on the account page, with what can be done about it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) more: String,
    pub(super) tag: Option<&'static str>,
    pub(super) id: String,
}

#[derive(Debug, Template)]
#[template(path = "account.html")]
pub(super) struct Account<'a> {
    pub(super) frame: Frame,
    pub(super) csrf: String,
    pub(super) username: &'a str,
    pub(super) name: Option<&'a str>,
    pub(super) email: Option<&'a str>,
    pub(super) note: Option<&'static str>,
    pub(super) password_since: Option<String>,
    pub(super) totp_since: Option<String>,
    pub(super) recovery_codes: usize,
    pub(super) passkeys: Vec<Row>,
    pub(super) sessions: Vec<Row>,
    pub(super) apps: Vec<Row>,
    /// How many accounts elsewhere are linked, in words, where any may be.
    pub(super) elsewhere: Option<String>,
    /// The path of `/account`, for forms and links below it.
    pub(super) base: String,
    pub(super) logout: String,
}

#[derive(Debug, Template)]
#[template(path = "account_password.html")]
pub(super) struct ChangePassword<'a> {
    pub(super) frame: Frame,
    pub(super) csrf: String,
    pub(super) action: String,
    pub(super) alert: Option<Alert>,
    pub(super) username: &'a str,
    pub(super) has_password: bool,
    pub(super) shortest: usize,
    pub(super) longest: usize,
    pub(super) back: String,
}

#[derive(Debug, Template)]
#[template(path = "account_totp.html")]
pub(super) struct SetUpTotp<'a> {
    pub(super) frame: Frame,
    pub(super) csrf: String,
    pub(super) action: String,
    pub(super) alert: Option<Alert>,
    pub(super) replaces: bool,
    pub(super) secret: &'a str,
    pub(super) uri: &'a str,
    pub(super) qr: Option<Drawing>,
    pub(super) setup: String,
    pub(super) back: String,
}

#[derive(Debug, Template)]
#[template(path = "account_recovery.html")]
pub(super) struct RecoveryCodes {
    pub(super) frame: Frame,
    pub(super) codes: Vec<String>,
    pub(super) back: String,
}

#[derive(Debug, Template)]
#[template(path = "account_passkey.html")]
pub(super) struct AddPasskey {
    pub(super) frame: Frame,
    pub(super) csrf: String,
    pub(super) alert: Option<Alert>,
    pub(super) passkey: Option<PasskeyForm>,
    pub(super) back: String,
}

#[derive(Debug, Template)]
#[template(path = "account_elsewhere.html")]
pub(super) struct Elsewhere {
    pub(super) frame: Frame,
    pub(super) csrf: String,
    pub(super) alert: Option<Alert>,
    pub(super) linked: Vec<Row>,
    /// Names of providers that are not linked, and the way to each.
    pub(super) others: Vec<(String, String)>,
    pub(super) remove: String,
    pub(super) back: String,
}

#[derive(Debug, Template)]
#[template(path = "account_link.html")]
pub(super) struct LinkAccount<'a> {
    pub(super) frame: Frame,
    pub(super) csrf: String,
    pub(super) action: String,
    pub(super) provider: &'a str,
    pub(super) label: &'a str,
    pub(super) username: &'a str,
    pub(super) offer: &'a str,
    pub(super) back: String,
}

/// A page that goes on by itself.
#[derive(Debug, Template)]
#[template(path = "onward.html")]
pub(super) struct Onward {
    pub(super) frame: Frame,
    pub(super) to: String,
}
