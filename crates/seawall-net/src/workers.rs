//! OS threads with a single-threaded runtime each: nothing moves between cores.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

/// Running worker threads.
#[derive(Debug)]
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
}

/// Why workers did not start or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum WorkersError {
    /// A worker panicked; the others have ended.
    #[error("worker thread `{name}` panicked; this is a bug, its message is in the log above")]
    Panicked {
        /// Name of the thread.
        name: String,
    },
    /// The thread or its runtime could not be made.
    #[error("cannot start worker thread `{name}`; check the limits on processes and open files")]
    Start {
        /// Name of the thread.
        name: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Workers {
    /// Starts `count` threads that each run `main(index)` to its end on a runtime of their own.
    ///
    /// The future need not be `Send`, and may use [`tokio::task::spawn_local`].
    ///
    /// # Errors
    /// When a thread or its runtime cannot be made.
    pub fn spawn<F, Fut>(name: &str, count: usize, main: F) -> Result<Self, WorkersError>
    where
        F: Fn(usize) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let main = Arc::new(main);
        let mut threads = Vec::with_capacity(count);
        for index in 0..count {
            threads.push(spawn_one(
                format!("{name}-{index}"),
                index,
                Arc::clone(&main),
            )?);
        }
        Ok(Self { threads })
    }

    /// Waits until every worker has ended. Blocks the calling thread.
    ///
    /// # Errors
    /// When a worker panicked.
    pub fn join(self) -> Result<(), WorkersError> {
        let mut panicked = None;
        for thread in self.threads {
            let name = thread.thread().name().unwrap_or("worker").to_owned();
            if thread.join().is_err() {
                panicked.get_or_insert(WorkersError::Panicked { name });
            }
        }
        panicked.map_or(Ok(()), Err)
    }
}

fn spawn_one<F, Fut>(
    name: String,
    index: usize,
    main: Arc<F>,
) -> Result<JoinHandle<()>, WorkersError>
where
    F: Fn(usize) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let (report, started) = std::sync::mpsc::sync_channel(1);
    let failed = |source| WorkersError::Start {
        name: name.clone(),
        source,
    };
    let thread = std::thread::Builder::new()
        .name(name.clone())
        .spawn(move || match local_runtime() {
            Ok(runtime) => {
                let _ = report.send(Ok(()));
                runtime.block_on(main(index));
            }
            Err(error) => {
                let _ = report.send(Err(error));
            }
        })
        .map_err(failed)?;
    match started.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(source)) => Err(failed(source)),
        Err(_) => Err(WorkersError::Panicked { name }),
    }
}

fn local_runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_worker_runs_with_futures_that_are_not_send() {
        let sum = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&sum);
        let workers = Workers::spawn("test", 3, move |index| {
            let seen = Arc::clone(&seen);
            async move {
                let local = Rc::new(index + 1);
                let task = tokio::task::spawn_local(async move { *local });
                seen.fetch_add(task.await.unwrap(), Ordering::SeqCst);
            }
        })
        .unwrap();
        workers.join().unwrap();
        assert_eq!(sum.load(Ordering::SeqCst), 6);
    }

    #[test]
    fn a_panic_is_reported_by_name() {
        let workers = Workers::spawn("bad", 1, |_| async { panic!("on purpose") }).unwrap();
        let error = workers.join().unwrap_err();
        assert!(error.to_string().contains("bad-0"), "{error}");
    }
}
