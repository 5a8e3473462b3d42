//! What a caller may be allowed to do here.

use std::sync::LazyLock;

use crate::http::Permission;
use crate::policy::Resource;

static CLIENTS: LazyLock<Resource> = LazyLock::new(Resource::client_registry);
static USERS: LazyLock<Resource> = LazyLock::new(Resource::user_registry);
static KEYS: LazyLock<Resource> = LazyLock::new(Resource::key_store);

static TOKENS: LazyLock<Resource> = LazyLock::new(Resource::token_store);
static LOG: LazyLock<Resource> = LazyLock::new(Resource::audit_log);

macro_rules! permissions {
    ($($(#[$meta:meta])* $name:ident = $action:literal on $resource:ident by $scope:literal;)+) => {$(
        $(#[$meta])*
        pub(super) struct $name;

        impl Permission for $name {
            const ACTION: &'static str = $action;
            const SCOPE: &'static str = $scope;

            fn resource() -> &'static Resource {
                &$resource
            }
        }
    )+};
}

permissions! {
    /// Reading the list of clients.
    ListClients = "client:list" on CLIENTS by "admin";
    /// Reading one.
    ShowClient = "client:show" on CLIENTS by "admin";
    /// Registering one.
    CreateClient = "client:create" on CLIENTS by "admin";
    /// Changing what one may do.
    UpdateClient = "client:update" on CLIENTS by "admin";
    /// Giving one a new secret.
    RotateClient = "client:rotate" on CLIENTS by "admin";
    /// Shutting one out.
    DisableClient = "client:disable" on CLIENTS by "admin";
    /// Letting one in again.
    EnableClient = "client:enable" on CLIENTS by "admin";
    /// Removing one.
    DeleteClient = "client:delete" on CLIENTS by "admin";
    /// Reading the list of people.
    ListUsers = "user:list" on USERS by "admin";
    /// Reading one.
    ShowUser = "user:show" on USERS by "admin";
    /// Adding one.
    CreateUser = "user:create" on USERS by "admin";
    /// Changing what one is called.
    UpdateUser = "user:update" on USERS by "admin";
    /// Giving one roles.
    AssignRoles = "user:assign-roles" on USERS by "admin";
    /// Giving one a password.
    SetPassword = "user:set-password" on USERS by "admin";
    /// Shutting one out.
    DisableUser = "user:disable" on USERS by "admin";
    /// Letting one in again.
    EnableUser = "user:enable" on USERS by "admin";
    /// Removing one.
    DeleteUser = "user:delete" on USERS by "admin";
    /// Reading where one is signed in.
    ListSessions = "session:list" on USERS by "admin";
    /// Signing one out.
    RevokeSessions = "session:revoke" on USERS by "admin";
    /// Reading the list of signing keys.
    ListKeys = "key:list" on KEYS by "admin";
    /// Making the next one.
    RotateKeys = "key:rotate" on KEYS by "admin";
    /// Ending one.
    RetireKey = "key:retire" on KEYS by "admin";
    /// Issuing an access token for a client.
    MintToken = "token:mint" on TOKENS by "admin";
    /// Reading what one says.
    InspectToken = "token:inspect" on TOKENS by "admin";
    /// Ending one.
    RevokeToken = "token:revoke" on TOKENS by "admin";
    /// Reading why one was issued or refused, which the log tells.
    ExplainToken = "audit:search" on LOG by "audit:read";
}
