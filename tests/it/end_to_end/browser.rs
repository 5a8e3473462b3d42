//! What a person has in front of them.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::stage::Stage;

/// A browser without JavaScript: a jar, redirects followed by hand, forms filled in.
pub(super) struct Browser<'a> {
    stage: &'a Stage,
    jar: Mutex<BTreeMap<String, String>>,
}

/// The first text between two others.
pub(super) fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(inner, _)| inner)
}

impl<'a> Browser<'a> {
    pub(super) fn new(stage: &'a Stage) -> Self {
        Self { stage, jar: Mutex::default() }
    }

    /// Asks, keeps cookies, and follows what leads elsewhere at this server: the page, or the place that is not here.
    async fn ask(&self, request: reqwest::RequestBuilder) -> String {
        let mut request = request;
        for _ in 0..5 {
            let cookies: Vec<_> = self.jar.lock().iter().map(|(name, value)| format!("{name}={value}")).collect();
            let answer = request.header("cookie", cookies.join("; ")).header("sec-fetch-site", "same-origin").send();
            let answer = answer.await.expect("an answer");
            for set in answer.headers().get_all("set-cookie") {
                let set = set.to_str().expect("text").split(';').next().expect("a pair");
                let (name, value) = set.split_once('=').expect("a pair");
                self.jar.lock().insert(name.to_owned(), value.to_owned());
            }
            match answer.headers().get("location") {
                Some(place) => {
                    let place = place.to_str().expect("text");
                    if !place.starts_with('/') {
                        return place.to_owned();
                    }
                    request = self.stage.http.get(format!("{}{place}", self.stage.issuer));
                }
                None => return answer.text().await.expect("a page"),
            }
        }
        panic!("it leads in circles");
    }

    pub(super) async fn open(&self, url: &str) -> String {
        self.ask(self.stage.http.get(url)).await
    }

    /// Sends the form of the page's one button, with these fields filled in.
    pub(super) async fn submit(&self, page: &str, fields: &[(&str, &str)]) -> String {
        let button = page.find("<button type=\"submit\"").unwrap_or_else(|| panic!("no button: {page}"));
        let start = page.get(..button).expect("a page").rfind("<form").expect("a form");
        let form = page.get(start..button).expect("a form");
        let action = between(form, "action=\"", "\"").expect("an action").replace("&#38;", "&");
        let hidden = form.split("<input type=\"hidden\"").skip(1);
        let mut sent: Vec<(&str, &str)> = hidden
            .map(|input| {
                (between(input, "name=\"", "\"").expect("a name"), between(input, "value=\"", "\"").expect("a value"))
            })
            .collect();
        sent.extend_from_slice(fields);
        self.ask(self.stage.http.post(format!("{}{action}", self.stage.issuer)).form(&sent)).await
    }
}
