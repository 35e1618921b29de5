//! Accepts connections. There are so many places; when none is left, the connection that has been there
//! longest of those that ask for nothing gives way. So clients that never end a request's head, or keep
//! connections that they do not use, hold no place that others need.

use super::http::{GRACE, Stop};
use super::state::held;
use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// How long a connection may take to send the head of a request, or stay idle between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection.
#[derive(Default)]
struct Seat {
    /// Requests whose head is read and whose answer is not yet sent.
    answering: AtomicUsize,
    /// It was asked to give way.
    leaving: AtomicBool,
    leave: Notify,
}

/// All connections, in the order in which they came.
struct Seats {
    most: usize,
    taken: Mutex<BTreeMap<u64, Arc<Seat>>>,
    freed: Notify,
}

/// A place, until it is dropped.
struct Taken {
    number: u64,
    seat: Arc<Seat>,
    seats: Arc<Seats>,
}

/// A request under way, until its answer's body is dropped.
struct Answering(Arc<Seat>);

impl Seats {
    fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            taken: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// A place, and who is asked to leave where there is none.
    fn try_take(self: &Arc<Self>, number: u64) -> Option<Taken> {
        let mut taken = held(&self.taken);
        if taken.len() < self.most {
            let seat = Arc::<Seat>::default();
            taken.insert(number, Arc::clone(&seat));
            return Some(Taken {
                number,
                seat,
                seats: Arc::clone(self),
            });
        }
        let idle = taken.values().find(|seat| {
            seat.answering.load(Ordering::SeqCst) == 0 && !seat.leaving.load(Ordering::SeqCst)
        });
        if let Some(idle) = idle {
            idle.leaving.store(true, Ordering::SeqCst);
            idle.leave.notify_one();
        }
        None
    }

    async fn take(self: &Arc<Self>, number: u64) -> Taken {
        loop {
            if let Some(taken) = self.try_take(number) {
                return taken;
            }
            // Where all are busy, one may become idle without leaving.
            let _ = tokio::time::timeout(Duration::from_millis(100), self.freed.notified()).await;
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        held(&self.seats.taken).remove(&self.number);
        self.seats.freed.notify_one();
    }
}

impl Answering {
    fn new(seat: &Arc<Seat>) -> Self {
        seat.answering.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(seat))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Accepts connections, at most so many at once, until told to stop; then lets those under way finish
/// for a while.
pub(super) async fn listen(socket: TcpListener, router: Router, stop: &Stop, most: usize) {
    let graceful = GracefulShutdown::new();
    let seats = Seats::new(most);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    for number in 0.. {
        let accepted = tokio::select! {
            accepted = accept(&socket, &seats, number) => accepted,
            () = stop.wait() => break,
        };
        let Some((stream, taken)) = accepted else {
            // Out of descriptors, say: that passes, and to try at once again would only burn.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (routes, seat) = (
            TowerToHyperService::new(router.clone()),
            Arc::clone(&taken.seat),
        );
        let service = service_fn(move |request| {
            let answering = Answering::new(&seat);
            let answer = routes.call(request);
            async move {
                let response = answer.await?;
                Ok::<_, std::convert::Infallible>(response.map(|body| {
                    Body::new(body.map_frame(move |frame| {
                        let _until_the_end = &answering;
                        frame
                    }))
                }))
            }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            tokio::select! {
                // A connection that breaks is its client's affair.
                _ = connection => {}
                () = taken.seat.leave.notified() => {}
            }
            drop(taken);
        });
    }
    drop(socket);
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
}

async fn accept(
    socket: &TcpListener,
    seats: &Arc<Seats>,
    number: u64,
) -> Option<(TcpStream, Taken)> {
    let (stream, _) = socket.accept().await.ok()?;
    // Events are small and should leave at once.
    stream.set_nodelay(true).ok()?;
    Some((stream, seats.take(number).await))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_idle_connection_gives_way_and_a_busy_one_never() {
        let seats = Seats::new(2);
        let first = seats.try_take(0).expect("a place");
        let second = seats.try_take(1).expect("a place");
        let answering = Answering::new(&first.seat);
        assert!(seats.try_take(2).is_none());
        assert!(!first.seat.leaving.load(Ordering::SeqCst));
        assert!(second.seat.leaving.load(Ordering::SeqCst));
        // All others are busy or leave already.
        assert!(seats.try_take(2).is_none());
        assert!(!first.seat.leaving.load(Ordering::SeqCst));
        drop(second);
        let third = seats.try_take(2).expect("a place");
        drop(answering);
        assert!(seats.try_take(3).is_none());
        assert!(first.seat.leaving.load(Ordering::SeqCst));
        assert!(!third.seat.leaving.load(Ordering::SeqCst));
    }
}
