//! OS threads with a single-threaded runtime each: nothing moves between cores.

use std::future::Future;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

/// Running worker threads.
#[derive(Debug)]
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
    ends: mpsc::Receiver<End>,
}

/// How a worker ended: with an error when it panicked.
type End = Result<(), WorkersError>;

/// Why workers did not start or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum WorkersError {
    /// A worker panicked; the others may still run, or wait for it for ever.
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
        let (ending, ends) = mpsc::channel();
        for index in 0..count {
            let ending = Ending(ending.clone());
            threads.push(spawn_one(
                format!("{name}-{index}"),
                index,
                Arc::clone(&main),
                ending,
            )?);
        }
        Ok(Self { threads, ends })
    }

    /// Waits until every worker has ended, or one has panicked: then the program should end, for the
    /// others may wait for it. Blocks the calling thread.
    ///
    /// # Errors
    /// When a worker panicked.
    pub fn join(self) -> Result<(), WorkersError> {
        self.ends.iter().collect::<Result<(), _>>()?;
        for thread in self.threads {
            // It has said that it ended well.
            let _ = thread.join();
        }
        Ok(())
    }
}

/// Tells of a worker's end, however it comes.
struct Ending(mpsc::Sender<End>);

impl Drop for Ending {
    fn drop(&mut self) {
        let name = thread::current().name().unwrap_or("worker").to_owned();
        let end = match thread::panicking() {
            true => Err(WorkersError::Panicked { name }),
            false => Ok(()),
        };
        // Nobody listens when the other workers could not be started.
        let _ = self.0.send(end);
    }
}

fn spawn_one<F, Fut>(
    name: String,
    index: usize,
    main: Arc<F>,
    ending: Ending,
) -> Result<JoinHandle<()>, WorkersError>
where
    F: Fn(usize) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let (report, started) = mpsc::sync_channel(1);
    let failed = |source| WorkersError::Start {
        name: name.clone(),
        source,
    };
    let thread = thread::Builder::new()
        .name(name.clone())
        .spawn(move || {
            let _ending = ending;
            match local_runtime() {
                Ok(runtime) => {
                    let _ = report.send(Ok(()));
                    runtime.block_on(main(index));
                }
                Err(error) => {
                    let _ = report.send(Err(error));
                }
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
    fn a_panic_is_reported_by_name_while_others_wait() {
        let workers = Workers::spawn("bad", 2, |index| async move {
            if index == 1 {
                std::future::pending::<()>().await;
            }
            panic!("on purpose");
        });
        let workers = workers.unwrap();
        let error = workers.join().unwrap_err();
        assert!(error.to_string().contains("bad-0"), "{error}");
    }
}
