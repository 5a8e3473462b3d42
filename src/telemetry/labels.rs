//! Labels are closed sets: an enum whose values are known before the first request, so a stranger cannot make a series. Those of
//! the model's own nouns stand in `nouns.rs`.

/// One label of a metric.
pub trait Label: Copy + PartialEq + 'static {
    /// The label's name.
    const KEY: &'static str;
    /// Every value.
    const ALL: &'static [Self];
    /// The value as text.
    fn as_str(self) -> &'static str;
}

/// The labels of one metric together.
pub trait LabelSet: Copy + 'static {
    /// Names, in order.
    const KEYS: &'static [&'static str];
    /// How many combinations there are.
    fn count() -> usize;
    /// Every combination, in the order of [`LabelSet::index`].
    fn all() -> Vec<Vec<&'static str>>;
    /// This combination's place.
    fn index(self) -> usize;
}

fn place<L: Label>(label: L) -> usize {
    // Sets are small, and a comparison of two enums is one instruction.
    L::ALL.iter().position(|l| *l == label).unwrap_or(usize::MAX)
}

impl LabelSet for () {
    const KEYS: &'static [&'static str] = &[];
    fn count() -> usize {
        1
    }
    fn all() -> Vec<Vec<&'static str>> {
        vec![Vec::new()]
    }
    fn index(self) -> usize {
        0
    }
}

impl<A: Label> LabelSet for A {
    const KEYS: &'static [&'static str] = &[A::KEY];
    fn count() -> usize {
        A::ALL.len()
    }
    fn all() -> Vec<Vec<&'static str>> {
        A::ALL.iter().map(|a| vec![a.as_str()]).collect()
    }
    fn index(self) -> usize {
        place(self)
    }
}

impl<A: Label, B: Label> LabelSet for (A, B) {
    const KEYS: &'static [&'static str] = &[A::KEY, B::KEY];
    fn count() -> usize {
        A::ALL.len() * B::ALL.len()
    }
    fn all() -> Vec<Vec<&'static str>> {
        A::ALL.iter().flat_map(|a| B::ALL.iter().map(|b| vec![a.as_str(), b.as_str()])).collect()
    }
    fn index(self) -> usize {
        place(self.0).saturating_mul(B::ALL.len()).saturating_add(place(self.1))
    }
}

/// Declares a closed set of label values.
macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident as $key:literal { $($(#[$value_doc:meta])* $value:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$value_doc])* $value,)* }

        impl Label for $name {
            const KEY: &'static str = $key;
            const ALL: &'static [Self] = &[$(Self::$value,)*];
            fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text,)* }
            }
        }
    )*};
}

labels! {
    /// What a request asked for, coarser than a route.
    Endpoint as "endpoint" {
        /// `/oauth/authorize`.
        Authorize = "authorize",
        /// `/oauth/device_authorization`.
        DeviceAuthorization = "device_authorization",
        /// `/oauth/par`.
        Par = "par",
        /// `/oauth/userinfo`.
        Userinfo = "userinfo",
        /// `/oauth/logout`.
        Logout = "logout",
        /// `/oauth/token`.
        Token = "token",
        /// `/oauth/introspect`.
        Introspect = "introspect",
        /// `/oauth/revoke`.
        Revoke = "revoke",
        /// `/.well-known/jwks.json`.
        Jwks = "jwks",
        /// The other documents under `/.well-known`.
        Metadata = "metadata",
        /// `/access/v1/…`.
        Access = "access",
        /// `/enforce/…`.
        Enforce = "enforce",
        /// `/api/v1/audit/…`.
        Audit = "audit",
        /// `/api/v1/findings…`, `/api/v1/cases…`, `/api/v1/suppressions…`.
        Findings = "findings",
        /// The rest of `/api/…`.
        Api = "api",
        /// `/login`, `/consent`, `/device`, `/account`: what people meet.
        Pages = "pages",
        /// `/demo/…`.
        Demo = "demo",
        /// `/healthz`, `/readyz`, `/metrics`.
        Ops = "ops",
        /// No such path.
        Unknown = "unknown",
    }
    /// What an answer would have been if risk had counted.
    Would as "would" {
        /// A refusal, or the demand to authenticate more strongly.
        Deny = "deny",
        /// Another rate tier, or none.
        Tier = "tier",
        /// The end of a person's sessions.
        EndSessions = "end_sessions",
        /// A permission.
        Allow = "allow",
    }
    /// What this server notices by itself.
    Noticed as "noticed" {
        /// A refresh token came again after its successor was used.
        RefreshReplay = "refresh_replay",
        /// One caller was denied again and again.
        DenyBurst = "deny_burst",
        /// One address tried the passwords of many people.
        PasswordSpraying = "password_spraying",
        /// One caller or address went on although it was over its limit.
        LimitFlood = "limit_flood",
    }
    /// How it stands with those whom active findings name.
    Subject as "state" {
        /// Their risk counts.
        AtRisk = "at_risk",
        /// Their risk will count once there is room.
        HeldBack = "held_back",
        /// Their risk never counts.
        Spared = "spared",
    }
    /// The first digit of the status.
    StatusClass as "status" {
        /// 1xx and 2xx.
        Success = "2xx",
        /// 3xx.
        Redirect = "3xx",
        /// 4xx but 429.
        Client = "4xx",
        /// 429.
        Limited = "429",
        /// 5xx.
        Server = "5xx",
    }
    /// The form of an access token.
    TokenFormat as "format" {
        /// RFC 9068.
        Jwt = "jwt",
        /// A random reference.
        Opaque = "opaque",
    }
    /// The error of a refused token request.
    OauthError as "error" {
        /// RFC 6749 5.2.
        InvalidRequest = "invalid_request",
        /// RFC 6749 5.2.
        InvalidClient = "invalid_client",
        /// RFC 6749 5.2.
        InvalidGrant = "invalid_grant",
        /// RFC 6749 5.2.
        UnauthorizedClient = "unauthorized_client",
        /// RFC 6749 5.2.
        UnsupportedGrantType = "unsupported_grant_type",
        /// RFC 8628 3.5.
        AuthorizationPending = "authorization_pending",
        /// RFC 8628 3.5.
        SlowDown = "slow_down",
        /// RFC 8628 3.5.
        ExpiredToken = "expired_token",
        /// RFC 6749 5.2.
        InvalidScope = "invalid_scope",
        /// RFC 8707 2.
        InvalidTarget = "invalid_target",
        /// RFC 9449 5.
        InvalidDpopProof = "invalid_dpop_proof",
        /// RFC 9449 8.
        UseDpopNonce = "use_dpop_nonce",
        /// Refused by policy.
        AccessDenied = "access_denied",
        /// Refused by a limit, or the log could not record it.
        TemporarilyUnavailable = "temporarily_unavailable",
        /// Broke on our side.
        ServerError = "server_error",
    }
    /// How a visit of the authorization endpoint ended.
    Authorized as "result" {
        /// With a code.
        Code = "code",
        /// At the login page.
        Login = "login",
        /// At the consent page.
        Consent = "consent",
        /// With an error.
        Refused = "refused",
    }
    /// What came a second time.
    Replayed as "kind" {
        /// An authorization code.
        Code = "code",
        /// A refresh token whose successor was used.
        Refresh = "refresh_token",
    }
    /// What introspection answered.
    Activity as "active" {
        /// The token is good, and the caller may know.
        Active = "true",
        /// Everything else.
        Inactive = "false",
    }
    /// How a presented token was checked.
    Verification as "result" {
        /// Good.
        Valid = "valid",
        /// Good once, revoked.
        Revoked = "revoked",
        /// Good once, expired.
        Expired = "expired",
        /// Anything else.
        Invalid = "invalid",
        /// It could not be looked up.
        Unavailable = "unavailable",
    }
    /// Where a decision was asked for.
    Point as "point" {
        /// Issuing a token.
        Issuance = "issuance",
        /// Signing in at a provider.
        Login = "login",
        /// The management API.
        Management = "management",
        /// The tower layer.
        Layer = "layer",
        /// `/enforce/nginx`.
        Nginx = "nginx",
        /// AuthZEN.
        Authzen = "authzen",
    }
    /// How a policy load ended.
    Load as "result" {
        /// The snapshot decides from now on.
        Activated = "activated",
        /// Broken: the last good one stays.
        Rejected = "rejected",
    }
    /// What became of a signing key.
    KeyChange as "change" {
        /// It is there, and verifiers learn of it.
        Published = "published",
        /// It stops signing, at once or when its successor starts.
        Retired = "retired",
        /// It stopped at once, and so did its tokens.
        Compromised = "compromised",
        /// It is gone: the last of its tokens has died.
        Deleted = "deleted",
    }
    /// Which bucket was asked.
    Bucket as "bucket" {
        /// An address, before any cryptography.
        Address = "address",
        /// A client at the token endpoint, or the failures of one.
        Client = "client",
        /// A tier, after the decision.
        Tier = "tier",
        /// Everyone together.
        Ceiling = "ceiling",
        /// Guesses of passwords and codes.
        Guess = "guess",
    }
    /// What a person proved themselves with.
    Factor as "factor" {
        /// A password.
        Password = "password",
        /// A code of an authenticator app.
        Totp = "totp",
        /// A recovery code.
        Recovery = "recovery",
        /// A passkey.
        Passkey = "passkey",
        /// An ID token of an OpenID provider.
        Upstream = "upstream",
    }
    /// What a bucket answered.
    Limited as "result" {
        /// Within the limit.
        Allowed = "allowed",
        /// Over it.
        Refused = "refused",
        /// Over it, in a dry run.
        WouldRefuse = "would_refuse",
    }
    /// What became of an event.
    Recorded as "result" {
        /// In the log, or on its way with the state it belongs to.
        Recorded = "recorded",
        /// Not recorded: the answer was withheld.
        Failed = "failed",
        /// The queue was full: counted in a gap event.
        Dropped = "dropped",
        /// Counted in another event of the same second.
        Folded = "folded",
    }
    /// A periodic task.
    Tick as "tick" {
        /// Moves intake rows to the log.
        Sequencer = "sequencer",
        /// Signs the log's tree head.
        Checkpoint = "checkpoint",
        /// Keeps signed heads outside the host.
        Anchors = "anchors",
        /// Signing keys.
        Keys = "keys",
        /// Follows changes that other processes made.
        Changes = "changes",
        /// Follows the policy files.
        Policies = "policies",
        /// Drops what has expired.
        Sweep = "sweep",
        /// Drops the oldest of the audit log.
        Retention = "retention",
        /// Counts what has not.
        Sizes = "sizes",
        /// Delivers logout tokens.
        Logouts = "logouts",
        /// Fetches findings.
        Findings = "findings",
        /// Ends what those at risk may not keep.
        Risk = "risk",
        /// Keeps as findings what was noticed here.
        Signals = "signals",
        /// Metrics and buckets.
        Upkeep = "upkeep",
    }
    /// A table that could grow without end.
    Table as "table" {
        /// Clients.
        Clients = "clients",
        /// People.
        Users = "users",
        /// What they prove themselves with.
        Credentials = "credentials",
        /// Their accounts at other providers.
        UpstreamLinks = "upstream_links",
        /// Sessions.
        Sessions = "sessions",
        /// Families of tokens.
        Grants = "grants",
        /// Authorization codes.
        AuthorizationCodes = "authorization_codes",
        /// Refresh tokens.
        RefreshTokens = "refresh_tokens",
        /// Pushed authorization requests.
        PushedRequests = "pushed_requests",
        /// Device authorizations.
        DeviceCodes = "device_codes",
        /// Consents.
        Consents = "consents",
        /// Opaque access tokens.
        AccessTokens = "access_tokens",
        /// The denylist.
        Revocations = "revocations",
        /// Ids that may be used once.
        ClientAssertions = "client_assertions",
        /// Answers to management calls.
        IdempotencyKeys = "idempotency_keys",
        /// Logout tokens still to be delivered.
        LogoutDeliveries = "logout_deliveries",
        /// Findings.
        Findings = "findings",
        /// Every content that they ever had.
        FindingRevisions = "finding_revisions",
        /// What was done to them.
        FindingNotes = "finding_notes",
        /// Which of them nobody wants to be told of.
        FindingSuppressions = "finding_suppressions",
        /// Clients that registered themselves.
        ClientRegistrations = "client_registrations",
        /// Events that wait for a number in the log.
        EventIntake = "event_intake",
    }
    /// How a tick ended.
    Ended as "result" {
        /// Well.
        Done = "done",
        /// Another process holds the lease.
        Skipped = "skipped",
        /// Not well: logged.
        Failed = "failed",
    }
}

impl StatusClass {
    /// Of a status code.
    pub const fn of(status: u16) -> Self {
        match status {
            429 => Self::Limited,
            0..=299 => Self::Success,
            300..=399 => Self::Redirect,
            400..=499 => Self::Client,
            _ => Self::Server,
        }
    }
}

impl Endpoint {
    /// Of a route as the router spells it; `None`: no route matched.
    pub fn of(route: Option<&str>) -> Self {
        let Some(route) = route else { return Self::Unknown };
        match route {
            "/oauth/authorize" => Self::Authorize,
            "/oauth/device_authorization" => Self::DeviceAuthorization,
            "/oauth/par" => Self::Par,
            "/oauth/userinfo" => Self::Userinfo,
            "/oauth/logout" => Self::Logout,
            "/oauth/token" => Self::Token,
            "/oauth/introspect" => Self::Introspect,
            "/oauth/revoke" => Self::Revoke,
            "/.well-known/jwks.json" => Self::Jwks,
            "/healthz" | "/readyz" | "/metrics" => Self::Ops,
            _ if route.starts_with("/.well-known/") => Self::Metadata,
            _ if route.starts_with("/access/") => Self::Access,
            _ if route.starts_with("/enforce/") => Self::Enforce,
            _ if route.starts_with("/api/v1/audit/") => Self::Audit,
            _ if FINDINGS.iter().any(|own| route.starts_with(own)) => Self::Findings,
            _ if route.starts_with("/api/") => Self::Api,
            _ if route.starts_with("/demo") => Self::Demo,
            _ if PAGES.iter().any(|page| route.starts_with(page)) => Self::Pages,
            _ => below_a_path(route).map_or(Self::Unknown, |own| Self::of(Some(own))),
        }
    }
}

/// How the routes of findings begin.
const FINDINGS: [&str; 3] = ["/api/v1/findings", "/api/v1/cases", "/api/v1/suppressions"];

/// How the routes of pages begin.
const PAGES: [&str; 5] = ["/login", "/consent", "/device", "/account", "/callback"];

/// The part of a route that is ours when the issuer has a path: the router has `/auth/oauth/token` beside `/oauth/token`.
fn below_a_path(route: &str) -> Option<&str> {
    let parts = ["/oauth/", "/.well-known/"].into_iter().chain(PAGES);
    let at = parts.filter_map(|part| route.find(part)).min()?;
    route.get(at..).filter(|_| at > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_combination_has_its_own_place() {
        type Set = (Endpoint, StatusClass);
        let all = Set::all();
        assert_eq!(all.len(), Set::count());
        for endpoint in Endpoint::ALL {
            for status in StatusClass::ALL {
                assert_eq!(all[(*endpoint, *status).index()], [endpoint.as_str(), status.as_str()]);
            }
        }
    }

    #[test]
    fn a_route_has_an_endpoint_and_a_stranger_s_path_has_none() {
        for (route, endpoint) in [
            (Some("/oauth/token"), Endpoint::Token),
            (Some("/.well-known/jwks.json"), Endpoint::Jwks),
            (Some("/.well-known/openid-configuration"), Endpoint::Metadata),
            (Some("/access/v1/evaluation"), Endpoint::Access),
            (Some("/api/v1/audit/events"), Endpoint::Audit),
            (Some("/api/v1/findings/{id}/raw"), Endpoint::Findings),
            (Some("/demo/notes"), Endpoint::Demo),
            (Some("/login"), Endpoint::Pages),
            (Some("/auth/account/passkeys"), Endpoint::Pages),
            (Some("/auth/eu/oauth/token"), Endpoint::Token),
            (Some("/auth/eu/.well-known/jwks.json"), Endpoint::Jwks),
            (Some("/auth/eu/.well-known/oauth-protected-resource"), Endpoint::Metadata),
            (Some("/.well-known/openid-configuration/auth/eu"), Endpoint::Metadata),
            (Some("/oauth/none-of-ours"), Endpoint::Unknown),
            (Some("/elsewhere"), Endpoint::Unknown),
            (None, Endpoint::Unknown),
        ] {
            assert_eq!(Endpoint::of(route), endpoint, "{route:?}");
        }
    }
}
