//! The statements that a connection prepares.

use futures_util::future;
use tokio_postgres::{Client, Statement};

use super::{error::Failure, notify, sql};

/// Each statement's name, and its text in `sql.rs`.
macro_rules! statements {
    ($($name:ident: $text:ident,)*) => {
        pub(super) struct Statements {
            $(pub(super) $name: Statement,)*
            /// `None` when the database cannot notify.
            pub(super) notify: Option<Statement>,
        }

        impl Statements {
            /// Prepares all of them in one flight.
            pub(super) async fn prepare(client: &Client) -> Result<Self, Failure> {
                let prepare = |statement: &'static str| client.prepare(statement);
                let all = future::try_join_all([$(prepare(sql::$text)),*]);
                let (prepared, notify) = future::join(all, prepare(notify::NOTIFY)).await;
                let [$($name),*] = prepared?
                    .try_into()
                    .map_err(|_| Failure::Unexpected("another number of statements"))?;
                Ok(Self {
                    $($name,)*
                    notify: notify.ok(),
                })
            }
        }
    };
}

statements! {
    read: READ,
    read_one: READ_ONE,
    exists: EXISTS,
    create: CREATE,
    update: UPDATE,
    update_one: UPDATE_ONE,
    update_uniform: UPDATE_UNIFORM,
    rename: RENAME,
    touch: TOUCH,
    delete: DELETE,
    delete_moved: DELETE_MOVED,
    claim: CLAIM,
    claim_foreign: CLAIM_FOREIGN,
    rebucket: REBUCKET,
    list: LIST,
    count: COUNT,
    locate: LOCATE,
    locate_moved: LOCATE_MOVED,
}
