//! HAProxy's CSV. Columns: its management guide, section 9.1, as version 2.6 prints them.

use std::sync::atomic::Ordering::Relaxed;

use super::state;
use crate::{balancer::Shared, health::Status, server::Server};

/// The header line, byte for byte.
pub(super) const HEADER: &str = "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,\
ereq,econ,eresp,wretr,wredis,status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,\
sid,throttle,lbtot,tracked,type,rate,rate_lim,rate_max,check_status,check_code,check_duration,\
hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,req_rate_max,req_tot,\
cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,rtime,\
ttime,agent_status,agent_code,agent_duration,check_desc,agent_desc,check_rise,check_fall,\
check_health,agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,conn_rate,conn_rate_max,\
conn_tot,intercepted,dcon,dses,wrew,connect,reuse,cache_lookups,cache_hits,srv_icur,src_ilim,\
qtime_max,ctime_max,rtime_max,ttime_max,eint,idle_conn_cur,safe_conn_cur,used_conn_cur,\
need_conn_est,uweight,agg_server_status,agg_server_check_status,agg_check_status,";

/// One line for the frontend, one for each server, one for the backend.
pub(super) fn csv(shared: &Shared) -> String {
    let mut lines = vec![HEADER.to_owned(), frontend(shared)];
    lines.extend(
        shared
            .servers
            .iter()
            .enumerate()
            .map(|(i, server)| of_server(shared, i, server)),
    );
    lines.push(backend(shared));
    lines.join("\n") + "\n"
}

/// A line from the columns that are known; the others stay empty, as in HAProxy.
fn line(known: &[(&str, String)]) -> String {
    let mut line = String::new();
    let columns = HEADER.trim_start_matches("# ").trim_end_matches(',');
    for column in columns.split(',') {
        if let Some((_, value)) = known.iter().find(|(name, _)| *name == column) {
            line.push_str(value);
        }
        line.push(',');
    }
    line
}

fn sum(shared: &Shared, of: impl Fn(&Server) -> u64) -> u64 {
    shared.servers.iter().map(|server| of(server)).sum()
}

fn frontend(shared: &Shared) -> String {
    let text = str::to_owned;
    line(&[
        ("pxname", text("seawall")),
        ("svname", text("FRONTEND")),
        ("stot", shared.requests.load(Relaxed).to_string()),
        ("req_tot", shared.requests.load(Relaxed).to_string()),
        ("ereq", shared.refused.load(Relaxed).to_string()),
        ("status", text("OPEN")),
        ("type", text("0")),
        ("mode", text("http")),
    ])
}

fn of_server(shared: &Shared, index: usize, server: &Server) -> String {
    let counters = &server.counters;
    let number = |value: u64| value.to_string();
    let responses = |class: usize| number(counters.responses[class].load(Relaxed));
    let code = counters.check_code.load(Relaxed);
    let check_status = match (server.status(), code) {
        (Status::Unknown, 0) => "INI",
        _ if counters.check_passed.load(Relaxed) => "L7OK",
        (_, 0) => "L4CON",
        _ => "L7STS",
    };
    let check = &shared.config.check;
    line(&[
        ("pxname", "seawall".to_owned()),
        ("svname", server.config.name.to_string()),
        ("scur", server.in_flight.load(Relaxed).to_string()),
        ("smax", counters.in_flight_max.load(Relaxed).to_string()),
        ("stot", number(counters.requests.load(Relaxed))),
        ("lbtot", number(counters.requests.load(Relaxed))),
        ("bin", number(counters.bytes_in.load(Relaxed))),
        ("bout", number(counters.bytes_out.load(Relaxed))),
        ("econ", number(counters.connect_errors.load(Relaxed))),
        ("eresp", number(counters.response_errors.load(Relaxed))),
        ("wretr", number(counters.retries.load(Relaxed))),
        ("wredis", number(counters.redispatches.load(Relaxed))),
        ("status", state(server).to_owned()),
        ("weight", server.config.weight.to_string()),
        ("uweight", server.config.weight.to_string()),
        ("act", "1".to_owned()),
        ("bck", "0".to_owned()),
        ("chkfail", number(counters.failed_checks.load(Relaxed))),
        ("chkdown", number(counters.downs.load(Relaxed))),
        ("lastchg", server.unchanged_for().as_secs().to_string()),
        ("pid", "1".to_owned()),
        ("iid", "2".to_owned()),
        ("sid", (index + 1).to_string()),
        ("type", "2".to_owned()),
        ("check_status", check_status.to_owned()),
        (
            "check_code",
            if code == 0 {
                String::new()
            } else {
                number(code)
            },
        ),
        (
            "check_duration",
            number(counters.check_micros.load(Relaxed) / 1_000),
        ),
        ("hrsp_1xx", responses(0)),
        ("hrsp_2xx", responses(1)),
        ("hrsp_3xx", responses(2)),
        ("hrsp_4xx", responses(3)),
        ("hrsp_5xx", responses(4)),
        ("check_rise", check.rise.to_string()),
        ("check_fall", check.fall.to_string()),
        ("mode", "http".to_owned()),
    ])
}

fn backend(shared: &Shared) -> String {
    let up = shared
        .servers
        .iter()
        .filter(|server| server.status() == Status::Up)
        .count();
    let total = |of: fn(&Server) -> u64| sum(shared, of).to_string();
    let class = |class: usize| {
        sum(shared, |server| {
            server.counters.responses[class].load(Relaxed)
        })
    };
    let responses = |index| class(index).to_string();
    line(&[
        ("pxname", "seawall".to_owned()),
        ("svname", "BACKEND".to_owned()),
        (
            "scur",
            total(|server| server.in_flight.load(Relaxed) as u64),
        ),
        (
            "stot",
            total(|server| server.counters.requests.load(Relaxed)),
        ),
        (
            "bin",
            total(|server| server.counters.bytes_in.load(Relaxed)),
        ),
        (
            "bout",
            total(|server| server.counters.bytes_out.load(Relaxed)),
        ),
        (
            "econ",
            total(|server| server.counters.connect_errors.load(Relaxed)),
        ),
        (
            "eresp",
            total(|server| server.counters.response_errors.load(Relaxed)),
        ),
        (
            "wretr",
            total(|server| server.counters.retries.load(Relaxed)),
        ),
        (
            "wredis",
            total(|server| server.counters.redispatches.load(Relaxed)),
        ),
        (
            "lbtot",
            total(|server| server.counters.requests.load(Relaxed)),
        ),
        ("hrsp_1xx", responses(0)),
        ("hrsp_2xx", responses(1)),
        ("hrsp_3xx", responses(2)),
        ("hrsp_4xx", responses(3)),
        (
            "hrsp_5xx",
            (class(4) + shared.failed.load(Relaxed)).to_string(),
        ),
        ("cli_abrt", shared.aborts.load(Relaxed).to_string()),
        ("status", if up > 0 { "UP" } else { "DOWN" }.to_owned()),
        ("act", up.to_string()),
        ("bck", "0".to_owned()),
        ("type", "1".to_owned()),
        ("mode", "http".to_owned()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_haproxys() {
        let columns: Vec<_> = HEADER.trim_end_matches(',').split(',').collect();
        assert_eq!(columns.len(), 103);
        for (index, name) in [
            (0, "# pxname"),
            (17, "status"),
            (36, "check_status"),
            (73, "addr"),
        ] {
            assert_eq!(columns[index], name);
        }
        let line = line(&[("status", "UP".to_owned()), ("pxname", "x".to_owned())]);
        assert_eq!(line.matches(',').count(), HEADER.matches(',').count());
        assert_eq!(line.split(',').nth(17), Some("UP"));
    }
}
