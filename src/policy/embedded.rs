//! The shipped `policies/`, inside the binary. A test holds this list against the directory.

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/policies/", $path)))),*]
    };
}

static FILES: &[(&str, &str)] = files![
    "grant/access.cedar",
    "grant/admin.cedar",
    "grant/audit.cedar",
    "grant/clients.cedar",
    "grant/demo.cedar",
    "grant/login.cedar",
    "grant/tokens.cedar",
    "guard/core.cedar",
    "rate/tiers.cedar",
    "routes.toml",
    "schema/core.cedarschema",
    "schema/demo.cedarschema",
    "tests/demo.test.yaml",
    "tests/platform.test.yaml",
    "tiers.toml",
    "types.toml",
];

/// Path relative to `policies/` and text of each shipped file, sorted by path.
pub fn embedded() -> &'static [(&'static str, &'static str)] {
    FILES
}
