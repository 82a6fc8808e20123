//! What is made once for all who ask, and anew when it is no longer good.
//!
//! It is made in a task of its own: whoever asked first may give up waiting, and whoever asks next
//! finds it made, or still in the making.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

use super::ConnectError;

/// What is made once.
pub(super) struct Once<T>(Mutex<State<T>>);

type Made<T> = Result<T, Arc<ConnectError>>;

struct State<T> {
    value: Option<T>,
    making: Option<Shared<BoxFuture<'static, Made<T>>>>,
}

/// What something that was made is still worth.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Worth {
    /// It is good.
    Good,
    /// It is good, and ends soon: another is made beside.
    Old,
    /// It has ended.
    Nothing,
}

impl<T> Default for Once<T> {
    fn default() -> Once<T> {
        Once(Mutex::new(State { value: None, making: None }))
    }
}

impl<T: Clone + Send + Sync + 'static> Once<T> {
    /// What was made, if it is worth something; otherwise what is made now.
    pub(super) async fn get<F>(
        &self,
        worth: impl FnOnce(&T) -> Worth,
        make: impl FnOnce() -> F,
    ) -> Made<T>
    where
        F: Future<Output = Result<T, ConnectError>> + Send + 'static,
    {
        let making = {
            let mut state = self.state();
            // Whoever was given an old one left it to itself.
            if let Some(made) = state.making.clone().and_then(FutureExt::now_or_never) {
                state.making = None;
                state.value = made.ok().or(state.value.take());
            }
            let worth = state.value.as_ref().map_or(Worth::Nothing, worth);
            if worth == Worth::Good
                && let Some(value) = &state.value
            {
                return Ok(value.clone());
            }
            let making = state.making.get_or_insert_with(|| spawn(make())).clone();
            if worth == Worth::Old
                && let Some(value) = &state.value
            {
                return Ok(value.clone());
            }
            making
        };
        making.await
    }

    /// Forgets what was made, if it is this: it turned out to be good for nothing.
    pub(super) fn forget(&self, is_this: impl Fn(&T) -> bool) {
        let mut state = self.state();
        if let Some(Ok(made)) = state.making.clone().and_then(FutureExt::now_or_never)
            && is_this(&made)
        {
            state.making = None;
        }
        state.value.take_if(|value| is_this(value));
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spawn<T, F>(make: F) -> Shared<BoxFuture<'static, Made<T>>>
where
    T: Clone + Send + Sync + 'static,
    F: Future<Output = Result<T, ConnectError>> + Send + 'static,
{
    let task = tokio::spawn(make);
    let made = task.map(|ended| match ended {
        Ok(made) => made.map_err(Arc::new),
        Err(_ended) => Err(Arc::new(ConnectError::Interrupted)),
    });
    made.boxed().shared()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn many_who_ask_at_once_have_it_made_once_even_if_the_first_gives_up() {
        let once = Arc::new(Once::<usize>::default());
        let (count, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let ask = || {
            let (once, count, go) = (once.clone(), count.clone(), go.clone());
            async move {
                let make = move || async move {
                    count.fetch_add(1, Ordering::SeqCst);
                    go.notified().await;
                    Ok(7)
                };
                once.get(|_| Worth::Good, make).await
            }
        };
        let first = tokio::spawn(ask());
        while count.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let others: Vec<_> = (0..20).map(|_| tokio::spawn(ask())).collect();
        go.notify_one();
        for other in others {
            assert_eq!(other.await.unwrap().unwrap(), 7);
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_failed_is_made_again_and_what_is_old_serves_until_it_is_renewed() {
        let once = Once::<usize>::default();
        let failed = once.get(|_| Worth::Good, || async { Err(ConnectError::Unconfigured) }).await;
        assert!(failed.is_err());
        assert_eq!(once.get(|_| Worth::Good, || async { Ok(1) }).await.unwrap(), 1);
        assert_eq!(once.get(|_| Worth::Good, || async { Ok(2) }).await.unwrap(), 1);
        let worth = |value: &usize| if *value == 1 { Worth::Old } else { Worth::Good };
        // The old one is given at once; its successor is made beside, and then given.
        let mut value = once.get(worth, || async { Ok(3) }).await.unwrap();
        assert_eq!(value, 1);
        while value == 1 {
            tokio::task::yield_now().await;
            value = once.get(worth, || async { Ok(4) }).await.unwrap();
        }
        assert_eq!(value, 3);
        once.forget(|value| *value == 9);
        assert_eq!(once.get(|_| Worth::Good, || async { Ok(5) }).await.unwrap(), 3);
        once.forget(|value| *value == 3);
        assert_eq!(once.get(|_| Worth::Good, || async { Ok(6) }).await.unwrap(), 6);
        assert_eq!(once.get(|_| Worth::Nothing, || async { Ok(8) }).await.unwrap(), 8);
    }
}
