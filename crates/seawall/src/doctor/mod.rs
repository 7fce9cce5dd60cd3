//! `seawall doctor`: looks for the failures that people meet, and says of each what is seen, what
//! causes it, and how to mend it.
//!
//! What `health` measures, `doctor` explains. Facts are gathered first (`facts`), all at the same time
//! and each within a limit; the rest judges them. Only `page` asks for more: it visits a page as a
//! browser does.

mod balancer;
mod case;
mod diagnosis;
mod facts;
mod machine;
mod nodes;
mod page;
mod store;

use std::process::ExitCode;

use clap::Args;
use hyper::Uri;

use crate::{
    cli::{ConfigArgs, fail, say},
    config::Settings,
    node,
};
pub(crate) use case::guide;
use diagnosis::Diagnosis;
use facts::Facts;

/// Exit codes: 0 nothing found, 1 something, or the page that was named cannot be looked at; 2 the
/// command was called wrongly. Run it on a machine of the cluster, with the cluster's configuration.
/// It visits a page as a browser would, and deletes the session that comes of it.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// A page that makes a session, as users see it, for example <http://shop.example/cart>; one by
    /// https is asked of the balancer, as the proxy that speaks TLS does. Without one, the session-test
    /// page through the balancer, by https if session.cookie.secure is set.
    #[arg(long, value_name = "URL")]
    page: Option<Uri>,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

/// Looks at everything and says what it found.
pub(crate) fn run(settings: &Settings, args: &DoctorArgs) -> ExitCode {
    let examined = node::runtime().and_then(|runtime| runtime.block_on(examine(settings, args)));
    let examined = match examined {
        Ok(examined) => examined,
        Err(reason) => return fail(&reason),
    };
    say(&if args.json {
        diagnosis::in_json(&examined)
    } else {
        diagnosis::in_words(&examined)
    });
    // Somebody who names a page wants to know of it.
    let was_seen = examined.unseen.is_none() || args.page.is_none();
    if examined.diagnoses.is_empty() && was_seen {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What came of it all.
struct Examined {
    diagnoses: Vec<Diagnosis>,
    /// Why the page was not looked at.
    unseen: Option<String>,
}

async fn examine(settings: &Settings, args: &DoctorArgs) -> Result<Examined, String> {
    let page = page::Page::of(settings, args.page.as_ref())?;
    let (store, facts, machine) = tokio::join!(
        store::examine(settings),
        Facts::gather(settings),
        machine::examine(settings),
    );
    let nodes = nodes::judge(settings, &facts, store.is_empty());
    let mut found = [store, nodes, balancer::judge(settings, &facts), machine].concat();
    let visited = match &page {
        Some(page) if facts.serves() => page::visit(settings, page).await,
        Some(page) => Err(format!("{page}: no node serves")),
        None => Err("there is no balancer of Seawall's with nodes behind it".to_owned()),
    };
    let unseen = match visited {
        Ok(of_page) => {
            found.extend(of_page);
            None
        }
        Err(reason) => Some(reason),
    };
    for diagnosis in &mut found {
        diagnosis.fill_in(settings);
    }
    Ok(Examined {
        diagnoses: found,
        unseen,
    })
}
