// RFC 3810 §5.2, §6; RFC 3376 §4.2, §5. Context: the network monitor.
#include "net/groups.hpp"

namespace ringlet::net {
namespace {

/// Everybody is in it, always, and never says so.
bool is_everybody(const IpAddr& group) {
    return group == kAllNodes || group == IpAddr(kAllHosts);
}

}  // namespace

Groups::Group* Groups::find(const IpAddr& a) {
    for (usize i = 0; i < count_; ++i)
        if (groups_[i].address == a) return &groups_[i];
    return nullptr;
}

Duration Groups::random_delay(Duration most) {
    if (most.ns <= 0) return {};
    return Duration{static_cast<i64>(siphash(random_, ++counter_, 2) % static_cast<u64>(most.ns))};
}

void Groups::plan(Group& g, Instant at) {
    if (at < g.next) g.next = at;
    if (g.next < deadline_) deadline_ = g.next;
}

bool Groups::join(const IpAddr& group, Instant now) {
    if (is_everybody(group)) return true;
    Group* g = find(group);
    if (g == nullptr) {
        if (count_ == kGroups) return false;
        g = &groups_[count_++];
        *g = {.address = group};
    }
    if (g->users++ != 0) return true;
    g->changes = kRobustness;  // §6.1: a change is told at once, and again
    plan(*g, now);
    return true;
}

void Groups::leave(const IpAddr& group, Instant now) {
    Group* g = find(group);
    if (g == nullptr || g->users == 0 || --g->users != 0) return;
    g->changes = kRobustness;
    plan(*g, now);
}

bool Groups::is_member(const IpAddr& group) const {
    if (is_everybody(group)) return true;
    const Group* g = const_cast<Groups*>(this)->find(group);
    return g != nullptr && g->users != 0;
}

Groups::Version Groups::version(Instant now) const {
    if (now < oldest_until_) return Version::oldest;
    return now < older_until_ ? Version::older : Version::current;
}

/// RFC 3376 §7.2.1: what was planned in another version is not said any more.
void Groups::forget_plans() {
    for (usize i = count_; i-- != 0;) {
        Group& g = groups_[i];
        g.next = Instant::never();
        g.changes = 0;
        g.due = false;
        if (g.users == 0) g = groups_[--count_];
    }
    due_ = 0;
    deadline_ = Instant::never();
}

void Groups::on_query(const IpAddr& group, Duration most, Version of, Instant now) {
    const Version before = version(now);
    if (of == Version::oldest) oldest_until_ = now + kOlderQuerierPresent;
    if (of == Version::older) older_until_ = now + kOlderQuerierPresent;
    if (version(now) != before) forget_plans();
    for (usize i = 0; i < count_; ++i) {
        Group& g = groups_[i];
        if (g.users == 0 || (!group.is_unspecified() && g.address != group)) continue;
        plan(g, now + random_delay(most));  // one that is due sooner stays
    }
}

void Groups::poll(Instant now) {
    if (now < deadline_) return;
    deadline_ = Instant::never();
    for (usize i = 0; i < count_; ++i) {
        Group& g = groups_[i];
        if (now >= g.next) {
            if (!std::exchange(g.due, true)) ++due_;
            g.next = Instant::never();
        }
        if (g.next < deadline_) deadline_ = g.next;
    }
}

std::optional<Groups::Report> Groups::next_report(Instant now) {
    for (usize i = 0; i < count_ && due_ != 0; ++i) {
        Group& g = groups_[i];
        if (!std::exchange(g.due, false)) continue;
        --due_;
        const bool change = g.changes != 0;
        const Report r{g.address,
                       !change        ? Record::mode_is_exclude
                       : g.users != 0 ? Record::change_to_exclude
                                      : Record::change_to_include,
                       version(now)};
        if (change && --g.changes != 0)
            plan(g, now + random_delay(kUnsolicitedInterval));
        else if (g.users == 0)
            g = groups_[--count_];
        return r;
    }
    return std::nullopt;
}

void Groups::restart(Instant now) {
    for (usize i = 0; i < count_; ++i) {
        if (groups_[i].users == 0) continue;
        groups_[i].changes = kRobustness;
        plan(groups_[i], now);
    }
}

void Groups::clear() {
    count_ = 0;
    due_ = 0;
    deadline_ = Instant::never();
    oldest_until_ = older_until_ = {};
}

}  // namespace ringlet::net
