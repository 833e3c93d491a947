//! The promise that something is on stable storage: a future that needs no particular runtime.

use crate::SpoolError;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use tokio::sync::oneshot;

/// Resolves when what was handed over is on stable storage, or cannot be put there. Dropping it changes nothing.
#[derive(Debug)]
pub struct Durable(State);

#[derive(Debug)]
enum State {
    Known(Result<(), SpoolError>),
    Waiting(oneshot::Receiver<Result<(), SpoolError>>),
}

/// The other end of a [`Durable`]. Dropped unkept, it resolves with [`SpoolError::Closed`].
#[derive(Debug)]
pub struct Promise(oneshot::Sender<Result<(), SpoolError>>);

impl Durable {
    pub fn pair() -> (Promise, Durable) {
        let (sender, receiver) = oneshot::channel();
        (Promise(sender), Durable(State::Waiting(receiver)))
    }

    /// One whose result is known already.
    pub fn ready(result: Result<(), SpoolError>) -> Durable {
        Durable(State::Known(result))
    }

    /// Blocks the calling thread until it is resolved. Not for tasks of an async runtime.
    pub fn wait(self) -> Result<(), SpoolError> {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(self);
        loop {
            match future.as_mut().poll(&mut context) {
                Poll::Ready(result) => return result,
                Poll::Pending => std::thread::park(),
            }
        }
    }
}

impl Promise {
    pub fn resolve(self, result: Result<(), SpoolError>) {
        // The waiter may have gone: a client that hung up.
        let _ = self.0.send(result);
    }
}

impl Future for Durable {
    type Output = Result<(), SpoolError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Known(result) => Poll::Ready(result.clone()),
            State::Waiting(receiver) => {
                Pin::new(receiver).poll(context).map(|received| received.unwrap_or(Err(SpoolError::Closed)))
            }
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_another_thread() {
        let (promise, durable) = Durable::pair();
        let other = std::thread::spawn(move || promise.resolve(Err(SpoolError::NoSpace)));
        assert!(matches!(durable.wait(), Err(SpoolError::NoSpace)));
        other.join().unwrap();
    }

    #[test]
    fn a_dropped_promise_is_an_error() {
        let (promise, durable) = Durable::pair();
        drop(promise);
        assert!(matches!(durable.wait(), Err(SpoolError::Closed)));
    }

    #[test]
    fn works_inside_a_runtime() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (promise, durable) = Durable::pair();
        let other = std::thread::spawn(move || promise.resolve(Ok(())));
        runtime.block_on(durable).unwrap();
        other.join().unwrap();
    }
}
