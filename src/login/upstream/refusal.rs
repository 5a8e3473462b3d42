//! Why somebody does not come in by a provider, and the page that says so. Of the provider's answer nothing is shown.

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

use super::attempt::Purpose;
use super::identity::Wrong;
use super::provider::{Failure, Provider};
use crate::http::browser::page::{ErrorPage, Page};
use crate::login::visit::Visit;
use crate::model::event::kind;
use crate::model::{Decision, Outcome};
use crate::telemetry::labels::Factor;

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::login) enum Refusal {
    /// This browser is not in the middle of it, took too long, or came back twice.
    Over,
    /// The answer is another provider's.
    MixUp,
    /// The person, or the provider, said no.
    Declined,
    /// The provider did not take our code.
    Code,
    /// What it said does not prove anything.
    Token(Wrong),
    /// It, or its keys, are not to be had.
    Unavailable,
    /// Nobody here has this account, or may have it.
    Unknown(&'static str),
    /// The person is disabled.
    Disabled,
    /// Policy does not let them in.
    Policy,
    /// The person had to prove themselves anew, and did not.
    Stale,
    /// Too often; seconds to wait.
    TooOften(u64),
    /// The account belongs to somebody else here.
    Taken,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unavailable => Self::Unavailable,
            Failure::Code => Self::Code,
            Failure::Token(wrong) => Self::Token(wrong),
        }
    }
}

impl Refusal {
    /// The reason in events.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Over => "state",
            Self::MixUp => "mix_up",
            Self::Declined => "declined",
            Self::Code => "code",
            Self::Token(wrong) => match wrong {
                Wrong::Missing => "id_token_missing",
                Wrong::Malformed => "id_token_malformed",
                Wrong::Signature => "id_token_signature",
                Wrong::Issuer => "id_token_audience",
                Wrong::Time => "id_token_time",
                Wrong::Nonce => "id_token_nonce",
                Wrong::Hash => "id_token_hash",
            },
            Self::Unavailable => "unavailable",
            Self::Unknown(why) => why,
            Self::Disabled => "disabled",
            Self::Policy => "policy",
            Self::Stale => "not_recent",
            Self::TooOften(_) => "upstream",
            Self::Taken => "taken",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Over | Self::MixUp => StatusCode::BAD_REQUEST,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::FORBIDDEN,
        }
    }

    /// Title and message. Who is unknown, disabled, or refused reads the same: nobody learns who else is here.
    fn words(self, provider: &str, is_link: bool) -> (&'static str, String) {
        match self {
            Self::Over | Self::MixUp => (
                "This sign-in is over",
                "It was finished, took longer than ten minutes, or began in another browser. Start again.".to_owned(),
            ),
            Self::Declined => (
                "You were not signed in",
                format!("{provider} did not confirm who you are. Try again, or sign in another way."),
            ),
            Self::Code | Self::Token(_) => (
                "You were not signed in",
                format!(
                    "{provider} answered with something that proves nothing. Try again, and tell us if it stays so."
                ),
            ),
            Self::Unavailable => (
                "You were not signed in",
                format!("{provider} does not answer right now. Try again in a minute, or sign in another way."),
            ),
            Self::Policy if is_link => (
                "That account cannot be linked",
                format!("The rules of this place do not let your account at {provider} sign you in."),
            ),
            Self::Unknown(_) | Self::Disabled | Self::Policy => (
                "No account is open to you here",
                format!(
                    "{provider} knows you, but nothing here is yours by that. If you have an account here, sign in to it \
                     another way and link {provider} under \u{201c}Your account\u{201d}. If not, ask whoever runs this place."
                ),
            ),
            Self::Stale => (
                "You have to prove it anew",
                format!(
                    "{provider} did not ask you again who you are, or did not say when it did. Sign in another way for this."
                ),
            ),
            Self::TooOften(_) => ("Too many tries", "Wait a while before you try again.".to_owned()),
            Self::Taken => (
                "That account is linked already",
                format!("Your account at {provider} belongs to somebody else here. Nothing was changed."),
            ),
        }
    }
}

/// An answer that is about to be judged: whose, in which browser, to what.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) visit: &'a Visit,
    pub(super) provider: &'a Provider,
    pub(super) purpose: Option<&'a Purpose>,
}

impl Asked<'_> {
    /// Records a refusal, and says so. The attempt is over by it, unless the answer was not this browser's.
    pub(super) fn refuse(&self, refusal: Refusal) -> Response {
        self.refuse_of(None, None, refusal)
    }

    /// The same about somebody who is known, or after a decision.
    pub(super) fn refuse_of(&self, user_id: Option<&str>, decision: Option<&Decision>, refusal: Refusal) -> Response {
        let (ctx, site) = (self.visit.ctx(), self.visit.site());
        let (kind, outcome) = match refusal {
            Refusal::TooOften(_) => (kind::RATE_LIMITED, Outcome::Denied),
            Refusal::Unavailable => (kind::LOGIN_FAILED, Outcome::Failed),
            _ => (kind::LOGIN_FAILED, Outcome::Denied),
        };
        ctx.metrics.logins.add((Factor::Upstream, outcome));
        let mut event = self.visit.event(kind, outcome, user_id);
        event.reason = Some(refusal.reason().into());
        if let Some(decision) = decision {
            event = event.decided(decision);
        }
        ctx.audit.fold(event.with("provider", self.provider.id.as_str()));
        let back = match self.purpose {
            Some(Purpose::SignIn(query)) => ("Back to the sign-in page", site.path(&format!("/login{query}"))),
            Some(Purpose::Link(_)) => ("Back to your account", site.path("/account")),
            None => ("Go to the sign-in page", site.path("/login")),
        };
        let is_link = matches!(self.purpose, Some(Purpose::Link(_)));
        let (title, message) = refusal.words(&self.provider.name, is_link);
        let template = ErrorPage {
            frame: self.visit.frame(),
            title,
            message: &message,
            next: Some(back),
            request_id: &self.visit.info.request_id,
        };
        let page = Page::new(site, &template).status(refusal.status());
        let page = match refusal {
            Refusal::Over | Refusal::MixUp => page,
            _ => page.cookie(self.visit.forget_attempt()),
        };
        let page = match refusal {
            Refusal::TooOften(secs) => page.retry_after(secs),
            Refusal::Unavailable => page.retry_after(5),
            _ => page,
        };
        page.into_response()
    }
}
