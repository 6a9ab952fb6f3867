//! Metrics and health over HTTP: one request per connection, few at a time, each with little time.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::{Control, Phase};

/// Clients served at once; others wait in the kernel's queue.
const CLIENTS_MAX: usize = 16;
/// Time in which a client must have sent its whole request.
const HEADER_TIME_MAX: Duration = Duration::from_secs(5);
/// Time for one client in all, so that one that does not read keeps nobody out.
const CLIENT_TIME_MAX: Duration = Duration::from_secs(15);
/// Bytes of a request that are buffered.
const REQUEST_MAX: usize = 16 * 1024;
/// Pause after a failure to accept, which comes of a want of descriptors as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Serves until the control thread ends.
pub(super) async fn serve(listener: TcpListener, control: Control) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/health", get(ready))
        .with_state(control);
    let room = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        // Closed only when dropped, and it is not.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let served = serve_one(stream, router.clone());
                tokio::spawn(async move {
                    served.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a client of the metrics is not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_one(stream: TcpStream, router: Router) {
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .keep_alive(false)
        .max_buf_size(REQUEST_MAX);
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // What a client gets wrong is its own affair, and so is leaving early.
    let _ = tokio::time::timeout(CLIENT_TIME_MAX, connection).await;
}

async fn metrics(State(control): State<Control>) -> Response {
    let text = control.program.metrics(&control.reports().await);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// Whether the router does its work: a restart is the remedy where it does not.
async fn live(State(control): State<Control>) -> Response {
    match silent_shards(&control).await {
        None => "ok\n".into_response(),
        Some(text) => (StatusCode::SERVICE_UNAVAILABLE, text).into_response(),
    }
}

/// Whether the router does its work and means to go on with it.
async fn ready(State(control): State<Control>) -> Response {
    let phase = control.phase();
    match phase {
        Phase::Running => live(State(control)).await,
        Phase::Draining { .. } | Phase::Stopping => {
            let text = format!("{}\n", phase.name());
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

async fn silent_shards(control: &Control) -> Option<String> {
    if control.phase() == Phase::Stopping {
        // Shards that have ended do not answer, and that is as it should be.
        return None;
    }
    let answered = control.reports().await.len();
    let shards = control.shards.len();
    (answered < shards).then(|| format!("{answered} of {shards} shards answer\n"))
}
