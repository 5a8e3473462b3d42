//! Tests of `login`: the pages, as a browser meets them.

mod account;
mod authenticator;
pub(crate) mod browser;
mod consent;
mod device;
mod guesses;
mod linking;
mod pages;
mod passkeys;
mod passwords;
mod provider;
mod second_step;
mod sessions;
mod stage;
mod upstream;
