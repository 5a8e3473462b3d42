//! Where the browser comes back to (RFC 8252 7.3): one answer on a loopback port.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::super::failure::Failure;

/// Longest head of a request that is read.
const LONGEST: usize = 16 * 1024;
/// How long one connection may take to ask.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Loopback {
    listener: TcpListener,
    address: SocketAddr,
    path: String,
}

impl Loopback {
    pub(super) async fn listen(address: SocketAddr, path: &str) -> Result<Self, Failure> {
        if !path.starts_with('/') {
            return Err(Failure::usage(format!("`{path}` is no path: write \"/callback\"")));
        }
        let wrong = |e: std::io::Error| Failure::failed(format!("cannot listen on {address}: {e}"));
        let listener = TcpListener::bind(address).await.map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        Ok(Self { listener, address, path: path.to_owned() })
    }

    /// The redirect URI.
    pub(super) fn uri(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }

    /// The parameters of the first request to the path. Browsers ask for more than that: they are told that there is nothing.
    pub(super) async fn answer(&self) -> Result<Vec<(String, String)>, Failure> {
        loop {
            let (mut stream, _) =
                self.listener.accept().await.map_err(|e| Failure::failed(format!("cannot listen: {e}")))?;
            // A connection that says nothing must not keep the answer from coming.
            let Ok(Some(target)) = tokio::time::timeout(PATIENCE, asked(&mut stream)).await else { continue };
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            if path == self.path {
                say(&mut stream, "200 OK", "Back at the command line: this page can be closed.\n").await;
                return Ok(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect());
            }
            say(&mut stream, "404 Not Found", "Nothing here.\n").await;
        }
    }
}

/// The target of a GET request, read to the end of its head.
async fn asked(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        head.extend_from_slice(chunk.get(..read)?);
        if head.len() > LONGEST {
            return None;
        }
    }
    let text = String::from_utf8(head).ok()?;
    let mut line = text.lines().next()?.split(' ');
    (line.next()? == "GET").then_some(())?;
    line.next().map(str::to_owned)
}

/// Whether the browser hears it does not matter.
async fn say(stream: &mut TcpStream, status: &str, text: &str) {
    let head = "Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n\
                Connection: close";
    let whole = format!("HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    let _ = stream.write_all(whole.as_bytes()).await;
    let _ = stream.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn send(address: SocketAddr, text: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        all
    }

    #[tokio::test]
    async fn the_first_request_to_the_path_is_the_answer() {
        let loopback = Loopback::listen(SocketAddr::from(([127, 0, 0, 1], 0)), "/callback").await.unwrap();
        let address = loopback.address;
        assert_eq!(loopback.uri(), format!("http://{address}/callback"));
        let asked = tokio::spawn(async move { loopback.answer().await.unwrap() });
        assert!(send(address, "GET /favicon.ico HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 404"));
        drop(TcpStream::connect(address).await.unwrap());
        let said = send(address, "GET /callback?code=a%20b&state=c HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(said.starts_with("HTTP/1.1 200") && !said.contains("a b"), "{said}");
        let pairs = [("code", "a b"), ("state", "c")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(asked.await.unwrap(), pairs);
        assert!(Loopback::listen(address, "callback").await.is_err());
    }
}
