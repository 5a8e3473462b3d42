//! Principals and resources, built once and asked about many times.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};

use crate::model::{Client, ClientKind, PrincipalRef};

/// Attributes of an entity, by name.
pub(crate) type Attributes = HashMap<String, RestrictedExpression>;

/// A built entity: what [`Principal`] and [`Resource`] share.
#[derive(Debug)]
pub(crate) struct Node {
    /// Unique in this process; the key under which a snapshot remembers what it found out about this entity.
    pub(crate) serial: u64,
    pub(crate) uid: EntityUid,
    /// `None`: nobody knows this entity, and asking about it is denied.
    pub(crate) entity: Option<Entity>,
    /// Whether it will be asked about again, so that remembering pays.
    pub(crate) lasting: bool,
    /// The snapshot that made it, checked it against its schema and gave it every ancestor; 0: none did.
    pub(crate) made_by: u64,
    pub(crate) reference: PrincipalRef,
}

impl Node {
    fn new(uid: EntityUid, entity: Option<Entity>, lasting: bool) -> Self {
        let serial = next_serial();
        let type_name = uid.type_name().to_string();
        let kind = type_name.strip_prefix("Stockade::").unwrap_or(&type_name);
        let reference = PrincipalRef::new(kind, uid.id().unescaped());
        Self { serial, uid, entity, lasting, made_by: 0, reference }
    }

    /// What a snapshot made.
    pub(crate) fn made_by(snapshot: u64, entity: Entity, lasting: bool) -> Arc<Self> {
        Arc::new(Self { made_by: snapshot, ..Self::new(entity.uid(), Some(entity), lasting) })
    }
}

/// A number that nothing else in this process has.
pub(crate) fn next_serial() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Who asks. Cheap to clone; build it once per client, user or request and keep it.
#[derive(Clone, Debug)]
pub struct Principal(pub(crate) Arc<Node>);

/// What is asked about. Cheap to clone; build it once and keep it.
#[derive(Clone, Debug)]
pub struct Resource(pub(crate) Arc<Node>);

/// `Stockade::kind::"id"`; a kind that is no Cedar name becomes one that no schema knows.
pub(crate) fn core_uid(kind: &str, id: &str) -> EntityUid {
    uid(&format!("Stockade::{kind}"), id)
}

/// `kind::"id"` of any namespace; a kind that is no Cedar name becomes one that no schema knows.
pub(crate) fn uid(kind: &str, id: &str) -> EntityUid {
    #[expect(clippy::expect_used, reason = "a constant that a test parses")]
    let name = EntityTypeName::from_str(kind)
        .unwrap_or_else(|_| EntityTypeName::from_str("Stockade::Unknown").expect("a Cedar name"));
    EntityUid::from_type_name_and_id(name, EntityId::new(id))
}

fn strings<S: AsRef<str>>(values: impl IntoIterator<Item = S>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.into_iter().map(|v| RestrictedExpression::new_string(v.as_ref().to_owned())))
}

fn parents(roles: &[String]) -> HashSet<EntityUid> {
    roles.iter().map(|role| core_uid("Role", role)).collect()
}

/// Builds an entity; one whose attributes cannot be evaluated is unknown, and so denied.
fn built(uid: EntityUid, attributes: Attributes, parents: HashSet<EntityUid>, lasting: bool) -> Arc<Node> {
    let entity = Entity::new(uid.clone(), attributes, parents).ok();
    Arc::new(Node::new(uid, entity, lasting))
}

impl Principal {
    /// A registered client: `Client::"client_id"`, its roles as parents, and as attributes `disabled`, `confidential`,
    /// `scopes`, `resources`, `serves`, `grants`.
    pub fn client(client: &Client) -> Self {
        let attributes = Attributes::from([
            ("disabled".to_owned(), RestrictedExpression::new_bool(client.disabled)),
            ("confidential".to_owned(), RestrictedExpression::new_bool(client.kind == ClientKind::Confidential)),
            ("scopes".to_owned(), strings(&client.scopes)),
            ("resources".to_owned(), strings(client.resources.iter().chain([&client.default_resource]))),
            ("serves".to_owned(), strings(&client.serves)),
            ("grants".to_owned(), strings(client.grants.iter().map(|g| g.as_str()))),
        ]);
        Self(built(core_uid("Client", &client.client_id), attributes, parents(&client.roles), true))
    }

    /// A client known from its token alone, where no registry is at hand (the embedded tower layer): confidential,
    /// enabled, without roles or registered scopes. What the token grants is in [`super::Facts::scopes`].
    pub fn token_client(client_id: &str) -> Self {
        let empty = || strings::<&str>([]);
        let attributes = Attributes::from([
            ("disabled".to_owned(), RestrictedExpression::new_bool(false)),
            ("confidential".to_owned(), RestrictedExpression::new_bool(true)),
            ("scopes".to_owned(), empty()),
            ("resources".to_owned(), empty()),
            ("serves".to_owned(), empty()),
            ("grants".to_owned(), empty()),
        ]);
        Self(built(core_uid("Client", client_id), attributes, HashSet::new(), true))
    }

    /// A person: `User::"id"`, the roles as parents, attribute `disabled`.
    pub fn user(id: &str, roles: &[String], disabled: bool) -> Self {
        let attributes = Attributes::from([("disabled".to_owned(), RestrictedExpression::new_bool(disabled))]);
        Self(built(core_uid("User", id), attributes, parents(roles), true))
    }

    /// Someone at the machine itself: `Operator::"id"`. The command line's is `Operator::"local"`.
    pub fn operator(id: &str) -> Self {
        Self(built(core_uid("Operator", id), Attributes::new(), HashSet::new(), true))
    }

    /// Whoever shows no token: `Anonymous::"anonymous"`.
    pub fn anonymous() -> Self {
        Self(built(core_uid("Anonymous", "anonymous"), Attributes::new(), HashSet::new(), true))
    }

    /// A name that nobody knows: whatever it asks is denied with `unknown_principal`.
    pub fn unknown(kind: &str, id: &str) -> Self {
        Self(Arc::new(Node::new(core_uid(kind, id), None, false)))
    }

    /// Any entity at all, for one request.
    pub(crate) fn of(uid: EntityUid, entity: Option<Entity>, lasting: bool) -> Self {
        Self(Arc::new(Node::new(uid, entity, lasting)))
    }

    /// The name in events and answers.
    pub fn reference(&self) -> &PrincipalRef {
        &self.0.reference
    }

    /// Whether anybody knows it.
    pub fn is_known(&self) -> bool {
        self.0.entity.is_some()
    }
}

impl Resource {
    fn plain(kind: &str, id: &str) -> Self {
        Self(built(core_uid(kind, id), Attributes::new(), HashSet::new(), true))
    }

    /// An API that tokens are for: `Api::"uri"`, RFC 8707's resource.
    pub fn api(uri: &str) -> Self {
        Self::plain("Api", uri)
    }

    /// The audit log.
    pub fn audit_log() -> Self {
        Self::plain("AuditLog", "main")
    }

    /// The findings, as a whole.
    pub fn findings() -> Self {
        Self::plain("Findings", "main")
    }

    /// The registry of clients.
    pub fn client_registry() -> Self {
        Self::plain("ClientRegistry", "main")
    }

    /// The registry of people.
    pub fn user_registry() -> Self {
        Self::plain("UserRegistry", "main")
    }

    /// The signing keys.
    pub fn key_store() -> Self {
        Self::plain("KeyStore", "main")
    }

    /// The tokens that have been issued.
    pub fn token_store() -> Self {
        Self::plain("TokenStore", "main")
    }

    /// The policies themselves.
    pub fn policy_store() -> Self {
        Self::plain("PolicyStore", "main")
    }

    /// The AuthZEN decision point.
    pub fn decision_point() -> Self {
        Self::plain("DecisionPoint", "main")
    }

    /// An issuer whose tokens count as assertions.
    pub fn trusted_issuer(issuer: &str) -> Self {
        Self::plain("TrustedIssuer", issuer)
    }

    /// An OpenID provider that people may sign in with.
    pub fn login_provider(id: &str) -> Self {
        Self::plain("LoginProvider", id)
    }

    /// A rate tier of `tiers.toml`.
    pub fn rate_tier(name: &str) -> Self {
        Self::plain("RateTier", name)
    }

    /// A route of `routes.toml`: `Route::"METHOD template"` in its API, with the attributes `method`, `path` and
    /// `class`.
    pub fn route(method: &str, template: &str, api: &str, class: &str) -> Self {
        let text = |value: &str| RestrictedExpression::new_string(value.to_owned());
        let attributes = Attributes::from([
            ("method".to_owned(), text(method)),
            ("path".to_owned(), text(template)),
            ("class".to_owned(), text(class)),
        ]);
        let parents = HashSet::from([core_uid("Api", api)]);
        Self(built(core_uid("Route", &format!("{method} {template}")), attributes, parents, true))
    }

    /// A name that nobody knows: whatever is asked about it is denied with `unknown_resource`.
    pub fn unknown(kind: &str, id: &str) -> Self {
        Self(Arc::new(Node::new(core_uid(kind, id), None, false)))
    }

    /// Any entity at all, for one request.
    pub(crate) fn of(uid: EntityUid, entity: Option<Entity>, lasting: bool) -> Self {
        Self(Arc::new(Node::new(uid, entity, lasting)))
    }

    /// Its type and id.
    pub fn reference(&self) -> &PrincipalRef {
        &self.0.reference
    }

    /// Whether anybody knows it.
    pub fn is_known(&self) -> bool {
        self.0.entity.is_some()
    }

    /// The name in events and answers: `Type::"id"`.
    pub fn name(&self) -> String {
        self.0.reference.to_string()
    }
}
