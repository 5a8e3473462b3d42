//! The main job, played over real HTTP: a token, a call allowed, one refused by policy, one slowed by its tier, the token
//! looked at and taken back, each found in the audit log, the log verified. Each step is printed as the curl that repeats
//! it, which names the variables of `dev.env`, and the answer it got. No secret is printed.

mod record;

use http::StatusCode;
use oauth2::basic::BasicClient;
use oauth2::{ClientId, ClientSecret, IntrospectionUrl, TokenIntrospectionResponse as _, TokenResponse as _, TokenUrl};
use parking_lot::Mutex;

use super::super::failure::Failure;
use super::super::output;
use super::super::wire::{Answer, Wire};
use super::place::{Credentials, Demo, Place};
use crate::base::Secret;

/// How a shell takes the token out of an answer.
const TAKE: &str = r#"sed 's/.*"access_token":"\([^"]*\)".*/\1/'"#;
/// More calls than the reader's tier lets through at once.
const BURST: usize = 60;

/// The tour and what it has come by.
struct Tour<'a> {
    place: &'a Place,
    people: &'a [(&'static Demo, Credentials)],
    wire: Wire,
    steps: usize,
}

/// Plays it all.
///
/// # Errors
/// At the first answer that is not what this server promises.
pub(super) async fn play(place: &Place, people: &[(&'static Demo, Credentials)]) -> Result<(), Failure> {
    let mut tour = Tour { place, people, wire: Wire::new()?, steps: 0 };
    output::line(format!(
        "Stockade fences an API: who is calling, whether they may, how often, and what happened.\n\
         Each step below was just played against a server of its own. To repeat it, start `stockade dev --data {dir}`\n\
         and say `. {env}` in another shell.",
        dir = place.dir.display(),
        env = place.env_file().display(),
    ))?;
    tour.ready().await?;
    let token = tour.gets_a_token().await?;
    tour.calls(&token).await?;
    let reader = tour.is_refused().await?;
    tour.is_slowed(&reader).await?;
    tour.looks_at(&token).await?;
    tour.takes_back(&token).await?;
    tour.finds_it_all().await?;
    tour.verifies().await
}

impl Tour<'_> {
    fn step(&mut self, title: &str) -> Result<(), Failure> {
        self.steps += 1;
        output::line(format!("\n{}. {title}", self.steps))
    }

    fn command(&self, line: &str) -> Result<(), Failure> {
        output::line(format!("   $ {line}"))
    }

    fn answered(&self, answer: &Answer) -> Result<(), Failure> {
        output::line(format!("   {} {}", answer.status.as_u16(), answer.shown()).trim_end())
    }

    /// Goes on when the answer is what was promised.
    fn expect(&self, answer: &Answer, status: StatusCode) -> Result<(), Failure> {
        if answer.status == status {
            return Ok(());
        }
        let got = answer.status.as_u16();
        Err(Failure::failed(format!(
            "step {}: expected {}, got {got}: {}",
            self.steps,
            status.as_u16(),
            answer.shown()
        )))
    }

    fn is_true(&self, holds: bool, otherwise: &str) -> Result<(), Failure> {
        if holds { Ok(()) } else { Err(Failure::failed(format!("step {}: {otherwise}", self.steps))) }
    }

    fn person(&self, variable: &str) -> Result<&Credentials, Failure> {
        let found = self.people.iter().find(|(demo, _)| demo.variable == variable);
        found.map(|(_, credentials)| credentials).ok_or_else(|| Failure::failed(format!("there is no {variable}")))
    }

    /// Waits until both listeners answer.
    async fn ready(&self) -> Result<(), Failure> {
        let answer = self.wire.send(self.wire.get(format!("{}/readyz", self.place.ops()), "")).await?;
        self.expect(&answer, StatusCode::OK)
    }

    /// A token by the client credentials grant, obtained with the `oauth2` library as any client would.
    async fn token(&self, variable: &str) -> Result<(Secret<String>, Answer), Failure> {
        let credentials = self.person(variable)?;
        let token_url =
            TokenUrl::new(format!("{}/oauth/token", self.place.issuer())).map_err(|e| Failure::chain(&e))?;
        let client = BasicClient::new(ClientId::new(credentials.id.to_owned()))
            .set_client_secret(ClientSecret::new(credentials.secret.expose().clone()))
            .set_token_uri(token_url);
        let seen = Mutex::new(None);
        let send = |request| self.wire.exchange(request, &seen);
        let token = client.exchange_client_credentials().request_async(&send).await;
        let answer = seen.lock().take();
        match (token, answer) {
            (Ok(token), Some(answer)) => Ok((Secret::new(token.access_token().secret().clone()), answer)),
            (Err(_), Some(answer)) => Err(Failure::failed(format!("no token: {}", answer.shown()))),
            (Err(error), None) => Err(Failure::chain(&error)),
            (Ok(_), None) => Err(Failure::failed("a token came without an answer")),
        }
    }

    async fn prints_a_token(&self, shell: &str, variable: &str) -> Result<Secret<String>, Failure> {
        self.command(&format!(
            "{shell}=$(curl -sS -u \"${variable}_CLIENT_ID:${variable}_CLIENT_SECRET\" -d grant_type=client_credentials \
             \"$ISSUER/oauth/token\" | {TAKE})"
        ))?;
        let (token, answer) = self.token(variable).await?;
        self.answered(&answer)?;
        Ok(token)
    }

    async fn gets_a_token(&mut self) -> Result<Secret<String>, Failure> {
        self.step("A client gets a token: its issuance is a decision, recorded before the answer leaves")?;
        self.prints_a_token("TOKEN", "DEMO").await
    }

    async fn calls(&mut self, token: &Secret<String>) -> Result<(), Failure> {
        self.step("It calls the guarded API, and the policies allow it")?;
        self.command(
            "curl -sS -X POST -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \
             -d '{\"text\":\"hello\"}' \"$API/notes\"",
        )?;
        let note = serde_json::json!({ "text": "hello" });
        let request = self.wire.post(format!("{}/notes", self.place.api())).bearer_auth(token.expose()).json(&note);
        let answer = self.wire.send(request).await?;
        self.answered(&answer)?;
        self.is_true(answer.status.is_success(), "the note was not taken")?;
        self.command("curl -sS -H \"Authorization: Bearer $TOKEN\" \"$API/notes\"")?;
        let answer = self.wire.send(self.wire.get(format!("{}/notes", self.place.api()), token.expose())).await?;
        self.answered(&answer)?;
        self.expect(&answer, StatusCode::OK)
    }

    async fn is_refused(&mut self) -> Result<Secret<String>, Failure> {
        self.step("A reader gets a token too, but may not write: refused by policy")?;
        let reader = self.prints_a_token("READER", "READER").await?;
        self.command(
            "curl -sS -X POST -H \"Authorization: Bearer $READER\" -H 'Content-Type: application/json' \
             -d '{\"text\":\"hello\"}' \"$API/notes\"",
        )?;
        let note = serde_json::json!({ "text": "hello" });
        let request = self.wire.post(format!("{}/notes", self.place.api())).bearer_auth(reader.expose()).json(&note);
        let answer = self.wire.send(request).await?;
        self.answered(&answer)?;
        self.expect(&answer, StatusCode::FORBIDDEN)?;
        Ok(reader)
    }

    async fn is_slowed(&mut self, reader: &Secret<String>) -> Result<(), Failure> {
        self.step("It reads faster than its tier allows (5 a second, 40 at once): slowed")?;
        self.command(&format!(
            "curl -sS -o /dev/null -w '%{{http_code}}\\n' -H \"Authorization: Bearer $READER\" \"$API/notes?[1-{BURST}]\" | \
             sort | uniq -c"
        ))?;
        let url = format!("{}/notes", self.place.api());
        let (mut passed, mut slowed, mut last) = (0, 0, None);
        for n in 1..=BURST {
            let answer = self.wire.send(self.wire.get(format!("{url}?{n}"), reader.expose())).await?;
            match answer.status {
                StatusCode::OK => passed += 1,
                StatusCode::TOO_MANY_REQUESTS => {
                    slowed += 1;
                    last = Some(answer);
                }
                _ => self.expect(&answer, StatusCode::OK)?,
            }
        }
        output::line(format!("   {passed} times 200, {slowed} times 429"))?;
        let Some(answer) = last else {
            return Err(Failure::failed(format!("step {}: {BURST} calls, and none was slowed", self.steps)));
        };
        let (retry, rate) = (answer.header("retry-after"), answer.header("ratelimit"));
        output::line(format!("   Retry-After: {retry}   RateLimit: {rate}"))?;
        self.is_true(retry != "-", "a 429 without Retry-After")
    }

    async fn looks_at(&mut self, token: &Secret<String>) -> Result<(), Failure> {
        self.step("The client asks what its token says")?;
        self.command(
            "curl -sS -u \"$DEMO_CLIENT_ID:$DEMO_CLIENT_SECRET\" -d \"token=$TOKEN\" \"$ISSUER/oauth/introspect\"",
        )?;
        let credentials = self.person("DEMO")?;
        let url = IntrospectionUrl::new(format!("{}/oauth/introspect", self.place.issuer()));
        let client = BasicClient::new(ClientId::new(credentials.id.to_owned()))
            .set_client_secret(ClientSecret::new(credentials.secret.expose().clone()))
            .set_introspection_url(url.map_err(|e| Failure::chain(&e))?);
        let seen = Mutex::new(None);
        let send = |request| self.wire.exchange(request, &seen);
        let access = oauth2::AccessToken::new(token.expose().clone());
        let said = client.introspect(&access).request_async(&send).await;
        if let Some(answer) = seen.lock().take() {
            self.answered(&answer)?;
        }
        self.is_true(said.map_err(|e| Failure::chain(&e))?.active(), "a fresh token is not active")
    }

    async fn introspected(&self, token: &Secret<String>) -> Result<Answer, Failure> {
        let credentials = self.person("DEMO")?;
        let request = self.wire.post(format!("{}/oauth/introspect", self.place.issuer()));
        let request = request.basic_auth(credentials.id, Some(credentials.secret.expose()));
        self.wire.send(request.form(&[("token", token.expose())])).await
    }

    async fn takes_back(&mut self, token: &Secret<String>) -> Result<(), Failure> {
        self.step("It takes the token back: worthless from now on, everywhere within a second")?;
        self.command(
            "curl -sS -w '%{http_code}\\n' -u \"$DEMO_CLIENT_ID:$DEMO_CLIENT_SECRET\" -d \"token=$TOKEN\" \"$ISSUER/oauth/revoke\"",
        )?;
        let credentials = self.person("DEMO")?;
        let request = self.wire.post(format!("{}/oauth/revoke", self.place.issuer()));
        let request = request.basic_auth(credentials.id, Some(credentials.secret.expose()));
        let answer = self.wire.send(request.form(&[("token", token.expose())])).await?;
        self.answered(&answer)?;
        self.expect(&answer, StatusCode::OK)?;
        self.command(
            "curl -sS -u \"$DEMO_CLIENT_ID:$DEMO_CLIENT_SECRET\" -d \"token=$TOKEN\" \"$ISSUER/oauth/introspect\"",
        )?;
        let answer = self.introspected(token).await?;
        self.answered(&answer)?;
        self.is_true(answer.json().get("active") == Some(&false.into()), "a revoked token is active")?;
        self.command("curl -sS -H \"Authorization: Bearer $TOKEN\" \"$API/notes\"")?;
        let answer = self.wire.send(self.wire.get(format!("{}/notes", self.place.api()), token.expose())).await?;
        self.answered(&answer)?;
        self.expect(&answer, StatusCode::UNAUTHORIZED)
    }
}
