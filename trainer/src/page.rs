//! The trainer's two pages, `/metrics` and `/livez`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crate::limits;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::metrics::Metrics;

/// Serves until it is dropped. Connections beyond [`limits::METRICS_CONNECTIONS_MAX`] wait in the
/// kernel's queue.
pub(crate) async fn serve(listener: TcpListener, metrics: Arc<Metrics>) {
    let room = Arc::new(Semaphore::new(limits::METRICS_CONNECTIONS_MAX));
    while let Ok(place) = room.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            // Most likely out of file descriptors, which passes.
            tokio::time::sleep(Duration::from_millis(limits::TRAINER_RETRY_MS)).await;
            continue;
        };
        let metrics = metrics.clone();
        tokio::spawn(async move {
            let answers =
                service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&request, &metrics))));
            let connection = http1::Builder::new()
                .keep_alive(false)
                .max_buf_size(limits::METRICS_HEAD_BYTES_MAX)
                .serve_connection(TokioIo::new(stream), answers);
            let _ = tokio::time::timeout(Duration::from_secs(limits::METRICS_SECONDS_MAX), connection).await;
            drop(place);
        });
    }
}

/// The answer to one request; its body, if any, is not read.
fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics.render())
        }
        (&Method::GET | &Method::HEAD, "/livez") => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
        (&Method::GET | &Method::HEAD, _) => {
            (StatusCode::NOT_FOUND, "text/plain", "there are /metrics and /livez\n".to_owned())
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn metrics_and_livez_are_served_and_nothing_else() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, Arc::new(Metrics::new(1, &[]).unwrap())));
        for (request, status, part) in [
            ("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n", "HTTP/1.1 200 OK", "chandler_trainer_slots 1"),
            ("GET /livez?x=1 HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK", "ok"),
            ("GET /../etc HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found", ""),
            ("POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed", ""),
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            assert!(text.starts_with(status) && text.contains(part), "{request}: {text}");
        }
        server.abort();
    }
}
