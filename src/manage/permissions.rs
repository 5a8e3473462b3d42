//! What a caller may be allowed to do here.

use std::sync::LazyLock;

use crate::http::Permission;
use crate::policy::Resource;

static CLIENTS: LazyLock<Resource> = LazyLock::new(Resource::client_registry);
static USERS: LazyLock<Resource> = LazyLock::new(Resource::user_registry);
static KEYS: LazyLock<Resource> = LazyLock::new(Resource::key_store);

macro_rules! permissions {
    ($($(#[$meta:meta])* $name:ident = $action:literal on $resource:ident;)+) => {$(
        $(#[$meta])*
        pub(super) struct $name;

        impl Permission for $name {
            const ACTION: &'static str = $action;
            const SCOPE: &'static str = "admin";

            fn resource() -> &'static Resource {
                &$resource
            }
        }
    )+};
}

permissions! {
    /// Reading the list of clients.
    ListClients = "client:list" on CLIENTS;
    /// Reading one.
    ShowClient = "client:show" on CLIENTS;
    /// Registering one.
    CreateClient = "client:create" on CLIENTS;
    /// Changing what one may do.
    UpdateClient = "client:update" on CLIENTS;
    /// Giving one a new secret.
    RotateClient = "client:rotate" on CLIENTS;
    /// Shutting one out.
    DisableClient = "client:disable" on CLIENTS;
    /// Letting one in again.
    EnableClient = "client:enable" on CLIENTS;
    /// Removing one.
    DeleteClient = "client:delete" on CLIENTS;
    /// Reading the list of people.
    ListUsers = "user:list" on USERS;
    /// Reading one.
    ShowUser = "user:show" on USERS;
    /// Adding one.
    CreateUser = "user:create" on USERS;
    /// Changing what one is called.
    UpdateUser = "user:update" on USERS;
    /// Giving one roles.
    AssignRoles = "user:assign-roles" on USERS;
    /// Giving one a password.
    SetPassword = "user:set-password" on USERS;
    /// Shutting one out.
    DisableUser = "user:disable" on USERS;
    /// Letting one in again.
    EnableUser = "user:enable" on USERS;
    /// Removing one.
    DeleteUser = "user:delete" on USERS;
    /// Reading where one is signed in.
    ListSessions = "session:list" on USERS;
    /// Signing one out.
    RevokeSessions = "session:revoke" on USERS;
    /// Reading the list of signing keys.
    ListKeys = "key:list" on KEYS;
    /// Making the next one.
    RotateKeys = "key:rotate" on KEYS;
    /// Ending one.
    RetireKey = "key:retire" on KEYS;
}
