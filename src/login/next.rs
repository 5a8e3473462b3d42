//! Where a person goes once they are signed in: back to the authorization request, to a page of theirs, or to their account.

use super::trouble::Trouble;
use super::visit::Visit;
use crate::http::browser::Site;
use crate::http::flow::Flow;

/// Pages that may ask for a sign-in first, by the name they have in `?again=`, and whether an old one is not enough.
const PAGES: [(&str, &str, bool); 6] = [
    ("password", "/account/password", true),
    ("totp", "/account/totp", true),
    ("recovery", "/account/recovery", true),
    ("passkeys", "/account/passkeys", true),
    ("elsewhere", "/account/elsewhere", true),
    ("device", "/device", false),
];

/// Where to.
#[derive(Clone, Debug)]
pub(super) struct Next {
    pub(super) flow: Option<Flow>,
    page: Option<(&'static str, &'static str, bool)>,
    user_code: Option<String>,
}

impl Visit {
    /// What the query says about it.
    pub(super) fn next(&self) -> Result<Next, Trouble> {
        self.next_by(|name| self.query(name))
    }

    /// What [`Next::query`] carried along while the browser was elsewhere.
    pub(super) fn next_of(&self, query: &str) -> Result<Next, Trouble> {
        let pairs: Vec<(String, String)> =
            serde_urlencoded::from_str(query.trim_start_matches('?')).unwrap_or_default();
        self.next_by(|name| pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()))
    }

    /// Only names of the closed list count, so this leads nowhere else.
    fn next_by<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> Result<Next, Trouble> {
        let flow = get("flow").map(|id| self.flow(id)).transpose()?;
        let again = get("again");
        let page = PAGES.into_iter().find(|(name, ..)| Some(*name) == again);
        let user_code = get("user_code").filter(|_| page.is_some_and(|(name, ..)| name == "device"));
        let user_code =
            user_code.map(|code| code.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(32).collect());
        Ok(Next { flow, page, user_code })
    }
}

impl Next {
    /// Where the sign-in was asked for by a page that wants a recent one.
    pub(super) fn wants_recent(&self) -> bool {
        self.page.is_some_and(|(_, _, recent)| recent)
    }

    /// The query that carries this along.
    pub(super) fn query(&self) -> String {
        match (&self.flow, self.page) {
            (Some(flow), _) => format!("?flow={}", flow.flow_id),
            (None, Some((name, ..))) => match &self.user_code {
                Some(code) => format!("?again={name}&user_code={code}"),
                None => format!("?again={name}"),
            },
            (None, None) => String::new(),
        }
    }

    /// The path to go to.
    pub(super) fn path(&self, site: &Site) -> String {
        match (&self.flow, self.page) {
            (Some(flow), _) => site.path(&flow.continue_path()),
            (None, Some((_, path, _))) => match &self.user_code {
                Some(code) => site.path(&format!("{path}?user_code={code}")),
                None => site.path(path),
            },
            (None, None) => site.path("/account"),
        }
    }

    /// Where refusing leads, when there is something to refuse.
    pub(super) fn refusal(&self, site: &Site) -> Option<String> {
        match (&self.flow, self.page) {
            (Some(flow), _) => Some(site.path(&flow.refuse_path())),
            (None, Some((_, _, true))) => Some(site.path("/account")),
            _ => None,
        }
    }
}
