//! Log files beside the journal: one for each instance, and rotated.

use std::path::Path;

use super::{
    facts::LogOwner,
    plan::{Inputs, Plan},
    step::{Access, Contents, Step},
};

const FOLDER: &str = "/var/log/seawall";
pub(super) const RULES: &str = "/etc/rsyslog.d/30-seawall.conf";
const ROTATION: &str = "/etc/logrotate.d/seawall";

/// Adds what writes and rotates the files, if they are wanted.
pub(super) fn add(inputs: &Inputs<'_>, plan: &mut Plan) {
    if !inputs.options.log_files {
        return;
    }
    let facts = inputs.facts;
    if !facts.is_live && (facts.rsyslog.is_none() || !facts.has_logrotate) {
        plan.notes
            .push("the log files need the packages rsyslog and logrotate in the image".to_owned());
    }
    let owner = facts.rsyslog.clone().unwrap_or(LogOwner {
        user: "root".to_owned(),
        group: "root".to_owned(),
    });
    let file = |path: &str, text: String| Step::File {
        path: path.into(),
        access: Access::public(0o644),
        contents: Contents::Text(text),
        data: false,
    };
    plan.steps.extend([
        Step::Folder {
            path: Path::new(FOLDER).into(),
            access: Access::new(0o750, &owner.user, &owner.group),
            data: true,
            used: None,
        },
        file(RULES, rules(inputs, &owner)),
        file(ROTATION, rotation(&owner)),
    ]);
}

/// One rule for each program name that the units log as.
fn rules(inputs: &Inputs<'_>, owner: &LogOwner) -> String {
    let LogOwner { user, group } = owner;
    let mut text = String::from("# Seawall's log files, one for each instance.\n");
    let nodes = inputs.here.iter().map(String::as_str);
    for instance in nodes.chain(["balancer", "health", "sweep"]) {
        text += &format!(
            "if $programname == 'seawall-{instance}' then {{\n    \
                 action(type=\"omfile\" file=\"{FOLDER}/{instance}.log\" fileOwner=\"{user}\" \
             fileGroup=\"{group}\" fileCreateMode=\"0640\")\n    \
                 stop\n\
             }}\n"
        );
    }
    text
}

fn rotation(owner: &LogOwner) -> String {
    let LogOwner { user, group } = owner;
    format!(
        "{FOLDER}/*.log {{\n    \
             daily\n    \
             rotate 30\n    \
             compress\n    \
             delaycompress\n    \
             missingok\n    \
             notifempty\n    \
             create 0640 {user} {group}\n    \
             su {user} {group}\n    \
             sharedscripts\n    \
             postrotate\n        \
                 systemctl kill --signal=HUP rsyslog.service >/dev/null 2>&1 || true\n    \
             endscript\n\
         }}\n"
    )
}
