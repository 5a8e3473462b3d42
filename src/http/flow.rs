//! An authorization request on its way through the browser. `/oauth/authorize` validates it, seals it into a cookie of its
//! own and sends the browser to `/login` and `/consent`; those read it, and send it back with nothing but its id. Nobody can
//! change it (AES-GCM), move it to another browser (a cookie) or mix it up with another (its id is part of what is sealed).

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};

use super::browser::Site;
use crate::base::{Clock, Rng, Timestamp, rng};
use crate::crypto::seal::Sealer;
use crate::crypto::{b64url, sha256};
use crate::model::{Acr, PushedRequest};
use crate::store::{Store, StoreError, Tx, pushed_requests};

/// How long a person may take.
pub const LIFETIME: Duration = Duration::from_secs(600);
/// How many requests one browser may be in the middle of; the oldest is forgotten.
pub const MOST: usize = 5;

const COOKIE: &str = "f-";

/// One request under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Its id, in URLs. Unguessable, and worth nothing without the cookie.
    #[serde(skip)]
    pub flow_id: String,
    /// When it began.
    pub begun_at: Timestamp,
    /// Who asks.
    pub client_id: String,
    /// What is asked.
    pub request: Requested,
    /// What the person must have proven before it goes on.
    pub needs: Needs,
}

impl Flow {
    /// Where the browser goes on when the person is done, below the issuer.
    pub fn continue_path(&self) -> String {
        format!("/oauth/authorize?flow={}", self.flow_id)
    }

    /// Where it goes when the person refuses: the client is told `access_denied` (RFC 6749 4.1.2.1).
    pub fn refuse_path(&self) -> String {
        format!("/oauth/authorize?flow={}&refused=1", self.flow_id)
    }
}

/// Where the request's parameters are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requested {
    /// Here, validated.
    Here(Box<Authorization>),
    /// In the store, under this `request_uri` (RFC 9126); nothing of them is in the cookie.
    Pushed(String),
}

/// A validated authorization request (RFC 6749 4.1.1, OpenID Connect Core 3.1.2.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Authorization {
    /// Where the answer goes: one of the client's own.
    pub redirect_uri: String,
    /// Scopes asked for.
    pub scopes: Vec<String>,
    /// Resources asked for (RFC 8707).
    pub resources: Vec<String>,
    /// Given back unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// For the ID token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// S256 challenge (RFC 7636).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_challenge: Option<String>,
    /// The key that the code will be bound to (RFC 9449 10).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dpop_jkt: Option<String>,
    /// Who the client thinks will sign in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_hint: Option<String>,
    /// The one person who will do (`id_token_hint`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// What a flow needs of the person, beyond being signed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Needs {
    /// At least this strong (`acr_values`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<Acr>,
    /// Authenticated at this time or later (`max_age`, `prompt=login`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Consent given in this flow (`prompt=consent`).
    pub consent: bool,
    /// Nothing may be shown (`prompt=none`).
    pub silent: bool,
}

impl Needs {
    /// Whether a person who authenticated at `auth_time` this strongly need not do it again.
    pub fn are_met(&self, acr: Acr, auth_time: Timestamp) -> bool {
        self.is_recent(auth_time) && self.acr.is_none_or(|wanted| acr >= wanted)
    }

    /// Whether `auth_time` is late enough.
    pub fn is_recent(&self, auth_time: Timestamp) -> bool {
        self.since.is_none_or(|since| auth_time >= since)
    }
}

/// Seals flows into cookies and opens them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Flows {
    site: Site,
    sealer: Arc<Sealer>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

/// Why a flow could not be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlowError {
    /// Browsers do not keep cookies of this size: push the request instead, or keep it in the store.
    #[error("the request is too large for a cookie")]
    TooLarge,
    /// Nothing can be sealed.
    #[error("the request cannot be sealed")]
    Seal,
}

impl Flows {
    /// Over what the process shares.
    pub fn new(site: Site, sealer: Arc<Sealer>, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { site, sealer, clock, rng }
    }

    /// Begins a flow in the browser that sent `headers`: the flow, and the cookies to set.
    ///
    /// # Errors
    /// [`FlowError`].
    pub fn begin(
        &self,
        headers: &HeaderMap,
        client_id: &str,
        request: Requested,
        needs: Needs,
    ) -> Result<(Flow, Vec<HeaderValue>), FlowError> {
        let flow = Flow {
            flow_id: b64url::encode(&rng::bytes::<18>(&*self.rng)),
            begun_at: self.clock.now(),
            client_id: client_id.to_owned(),
            request,
            needs,
        };
        let plain = serde_json::to_vec(&flow).map_err(|_| FlowError::Seal)?;
        let sealed = self.sealer.seal_often(self.place(&flow.flow_id).as_bytes(), &plain, &*self.rng);
        let sealed = sealed.map_err(|_| FlowError::Seal)?;
        let name = format!("{COOKIE}{}", flow.flow_id);
        let cookie = self.site.cookies().set(&name, &b64url::encode(&sealed), Some(LIFETIME));
        let mut cookies = vec![cookie.ok_or(FlowError::TooLarge)?];
        cookies.extend(self.surplus(headers));
        Ok((flow, cookies))
    }

    /// Cookies that make room for one more flow: those that no longer open, and the oldest.
    fn surplus(&self, headers: &HeaderMap) -> Vec<HeaderValue> {
        let mut kept = Vec::new();
        let mut gone = Vec::new();
        for (name, _) in self.site.cookies().starting(headers, COOKIE) {
            match self.open(headers, name.strip_prefix(COOKIE).unwrap_or_default()) {
                Some(flow) => kept.push((flow.begun_at, name)),
                None => gone.push(name),
            }
        }
        kept.sort_unstable();
        gone.extend(kept.iter().take((kept.len() + 1).saturating_sub(MOST)).map(|(_, name)| *name));
        gone.into_iter().filter_map(|name| self.site.cookies().drop(name)).collect()
    }

    /// The flow with this id; `None` when this browser is not in the middle of it, or took too long.
    pub fn open(&self, headers: &HeaderMap, flow_id: &str) -> Option<Flow> {
        if flow_id.is_empty() || !flow_id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return None;
        }
        let value = self.site.cookies().get(headers, &format!("{COOKIE}{flow_id}"))?;
        let sealed = b64url::decode_strict(value)?;
        let plain = self.sealer.open(self.place(flow_id).as_bytes(), &sealed).ok()?;
        let flow: Flow = serde_json::from_slice(plain.expose()).ok()?;
        let now = self.clock.now();
        let lives = now < flow.begun_at.plus(LIFETIME) && flow.begun_at <= now.plus(Duration::from_secs(60));
        lives.then(|| Flow { flow_id: flow_id.to_owned(), ..flow })
    }

    /// `Set-Cookie` that ends a flow.
    pub fn end(&self, flow: &Flow) -> Vec<HeaderValue> {
        self.site.cookies().drop(&format!("{COOKIE}{}", flow.flow_id)).into_iter().collect()
    }

    fn place(&self, flow_id: &str) -> String {
        format!("flow:{}:{flow_id}", self.site.issuer())
    }
}

/// A request that the store keeps, in a row of `pushed_requests`: what a client pushed, checked then (RFC 9126 2.1), or what
/// is too large for a cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What is asked.
    pub authorization: Authorization,
    /// How the person is to be met.
    pub wishes: Wishes,
}

/// How a client wants its person met. What it means follows from when the flow begins: [`Wishes::needs`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wishes {
    /// Authenticated anew: `prompt=login` or `select_account`.
    pub login: bool,
    /// Asked for consent, whatever was agreed before: `prompt=consent`.
    pub consent: bool,
    /// Not at all: `prompt=none`.
    pub silent: bool,
    /// `max_age`, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u32>,
    /// The weakest level of `acr_values`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<Acr>,
}

impl Wishes {
    /// What a flow that begins `now` needs. Whoever authenticates in it is fresh enough, however long the rest takes.
    pub fn needs(&self, now: Timestamp) -> Needs {
        let since = self.max_age.map(|secs| now.minus(Duration::from_secs(u64::from(secs))));
        let since = if self.login { Some(now) } else { since };
        Needs { acr: self.acr, since, consent: self.consent, silent: self.silent }
    }
}

impl Flow {
    /// What is asked, wherever it is. `None` when it was answered already, or is gone.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn authorization(&self, store: &Store) -> Result<Option<Authorization>, StoreError> {
        let found = match self.pushed() {
            Some(uri) => pushed_requests::find(&mut store.read().await?, &sha256(uri.as_bytes())).await?,
            None => None,
        };
        Ok(self.authorization_in(found))
    }

    /// The name of what the store keeps of it.
    pub fn pushed(&self) -> Option<&str> {
        match &self.request {
            Requested::Here(_) => None,
            Requested::Pushed(uri) => Some(uri),
        }
    }

    /// As [`Self::authorization`], with what the store keeps under [`Self::pushed`].
    pub fn authorization_in(&self, found: Option<PushedRequest>) -> Option<Authorization> {
        if let Requested::Here(authorization) = &self.request {
            return Some((**authorization).clone());
        }
        let found = found.filter(|row| row.used_at.is_none() && row.client_id == self.client_id)?;
        serde_json::from_str::<Kept>(&found.body).ok().map(|kept| kept.authorization)
    }

    /// Ends what was pushed, in the transaction that answers it: false when it was answered already.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn use_up(&self, tx: &mut Tx, now: Timestamp) -> Result<bool, StoreError> {
        match &self.request {
            Requested::Here(_) => Ok(true),
            Requested::Pushed(uri) => pushed_requests::use_up(tx, &sha256(uri.as_bytes()), now).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;
    use crate::base::{ManualClock, Secret, SeededRng};

    const ISSUER: &str = "https://a.example";
    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn flows(issuer: &str) -> (Flows, Arc<ManualClock>) {
        let keys = [Secret::new("k".repeat(32))];
        let clock = Arc::new(ManualClock::at(NOW));
        let sealer = Arc::new(Sealer::new(&keys).unwrap());
        let flows = Flows::new(Site::new(issuer, &keys), sealer, clock.clone(), Arc::new(SeededRng::new(1)));
        (flows, clock)
    }

    fn request() -> Requested {
        let redirect_uri = "https://app.example/cb".to_owned();
        Requested::Here(Box::new(Authorization {
            redirect_uri,
            state: Some("s".to_owned()),
            ..Authorization::default()
        }))
    }

    /// What a browser sends after it was told to set `cookies`.
    fn browser(before: &HeaderMap, cookies: &[HeaderValue]) -> HeaderMap {
        let mut jar: Vec<(String, String)> = before
            .get_all(header::COOKIE)
            .iter()
            .flat_map(|line| line.to_str().unwrap().split("; "))
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        for cookie in cookies {
            let cookie = cookie.to_str().unwrap();
            let (name, rest) = cookie.split_once('=').unwrap();
            jar.retain(|(known, _)| known != name);
            if !cookie.contains("Max-Age=0") {
                jar.push((name.to_owned(), rest.split(';').next().unwrap().to_owned()));
            }
        }
        let line = jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        [(header::COOKIE, HeaderValue::from_str(&line).unwrap())].into_iter().collect()
    }

    #[test]
    fn a19_a_flow_goes_on_in_the_browser_that_began_it_and_in_no_other() {
        let (flows, clock) = flows(ISSUER);
        let (flow, cookies) = flows.begin(&HeaderMap::new(), "app", request(), Needs::default()).unwrap();
        let mine = browser(&HeaderMap::new(), &cookies);
        assert_eq!(flows.open(&mine, &flow.flow_id), Some(flow.clone()));
        assert_eq!(flows.open(&HeaderMap::new(), &flow.flow_id), None);
        assert_eq!(flows.open(&mine, "other"), None);
        let after = browser(&mine, &flows.end(&flow));
        assert_eq!(flows.open(&after, &flow.flow_id), None);
        clock.advance(LIFETIME);
        assert_eq!(flows.open(&mine, &flow.flow_id), None, "too late");
    }

    #[test]
    fn a20_a_flow_that_was_changed_or_put_in_the_place_of_another_is_none() {
        let (flows, _) = flows(ISSUER);
        let (one, cookies) = flows.begin(&HeaderMap::new(), "app", request(), Needs::default()).unwrap();
        let value = cookies[0].to_str().unwrap().split_once('=').unwrap().1.split(';').next().unwrap().to_owned();
        let as_flow = |id: &str, value: &str| {
            let line = format!("{}={value}", flows.site.cookies().name(&format!("f-{id}")));
            let headers: HeaderMap = [(header::COOKIE, HeaderValue::from_str(&line).unwrap())].into_iter().collect();
            flows.open(&headers, id)
        };
        assert!(as_flow(&one.flow_id, &value).is_some());
        let other = flows.begin(&HeaderMap::new(), "app", request(), Needs::default()).unwrap().0;
        assert_eq!(as_flow(&other.flow_id, &value), None);
        let swapped: String = value.chars().rev().collect();
        assert_eq!(as_flow(&one.flow_id, &swapped), None);
        assert_eq!(as_flow(&one.flow_id, value.get(..value.len() - 2).unwrap()), None);
        assert_eq!(
            super::tests::flows("https://b.example").0.open(&browser(&HeaderMap::new(), &cookies), &one.flow_id),
            None
        );
    }

    #[test]
    fn a21_nothing_of_a_pushed_request_is_in_the_cookie() {
        let (flows, _) = flows(ISSUER);
        let uri = "urn:ietf:params:oauth:request_uri:x";
        let (flow, cookies) =
            flows.begin(&HeaderMap::new(), "app", Requested::Pushed(uri.to_owned()), Needs::default()).unwrap();
        assert!(cookies[0].len() < 600, "{}", cookies[0].len());
        let opened = flows.open(&browser(&HeaderMap::new(), &cookies), &flow.flow_id).unwrap();
        assert_eq!(opened.request, Requested::Pushed(uri.to_owned()));
    }

    #[test]
    fn of_six_flows_the_first_is_forgotten() {
        let (flows, clock) = flows(ISSUER);
        let mut jar = HeaderMap::new();
        let mut begun = Vec::new();
        for _ in 0..=MOST {
            let (flow, cookies) = flows.begin(&jar, "app", request(), Needs::default()).unwrap();
            jar = browser(&jar, &cookies);
            begun.push(flow);
            clock.advance(Duration::from_secs(1));
        }
        let open: Vec<_> = begun.iter().map(|flow| flows.open(&jar, &flow.flow_id).is_some()).collect();
        assert_eq!(open, [false, true, true, true, true, true]);
    }

    #[test]
    fn what_no_browser_would_keep_is_refused() {
        let (flows, _) = flows(ISSUER);
        let Requested::Here(mut request) = request() else { unreachable!() };
        request.state = Some("s".repeat(4096));
        let begun = flows.begin(&HeaderMap::new(), "app", Requested::Here(request), Needs::default());
        assert_eq!(begun.unwrap_err(), FlowError::TooLarge);
    }

    #[test]
    fn needs_are_met_by_what_is_strong_and_recent_enough() {
        let needs = Needs { acr: Some(Acr::Two), since: Some(NOW), ..Needs::default() };
        let before = NOW.minus(Duration::from_secs(1));
        assert!(needs.are_met(Acr::Two, NOW) && needs.are_met(Acr::Three, NOW));
        assert!(!needs.are_met(Acr::One, NOW) && !needs.are_met(Acr::Three, before));
        assert!(Needs::default().are_met(Acr::One, before));
    }

    #[test]
    fn who_authenticates_within_the_flow_is_fresh_enough() {
        let secs = Duration::from_secs;
        assert_eq!(Wishes::default().needs(NOW), Needs::default());
        let young = Wishes { max_age: Some(60), ..Wishes::default() }.needs(NOW);
        assert!(young.is_recent(NOW.minus(secs(60))) && !young.is_recent(NOW.minus(secs(61))));
        for wishes in [
            Wishes { max_age: Some(0), ..Wishes::default() },
            Wishes { login: true, max_age: Some(60), ..Wishes::default() },
        ] {
            let anew = wishes.needs(NOW);
            assert!(!anew.is_recent(NOW.minus(secs(1))) && anew.is_recent(NOW), "{wishes:?}");
        }
    }
}
