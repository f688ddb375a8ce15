// The state machine of RFC 4861 Appendix C for hosts. Context: the network monitor.
#include "net/ndp.hpp"

namespace ringlet::net {

std::array<Ndp::Entry, Ndp::kWays>& Ndp::set_of(const IpAddr& a) {
    const auto w = a.words();
    return sets_[((w[0] ^ key_.k0) * 0x9e37'79b9'7f4a'7c15 + (w[1] ^ key_.k1)) * (key_.k0 | 1) >> 60];
}
static_assert(Ndp::kSets == 16);

Ndp::Entry* Ndp::lookup(const IpAddr& a) {
    for (Entry& e : set_of(a))
        if (e.state != State::free && e.address == a) return &e;
    return nullptr;
}

void Ndp::ask(Entry& e) {
    if (!e.ask) ++pending_;
    e.ask = true;
}

void Ndp::enter(Entry& e, State state, Instant until) {
    e.state = state;
    e.next = until;
    e.tries = 0;
    if (e.ask) --pending_;
    e.ask = false;
    if (until < deadline_) deadline_ = until;
}

void Ndp::release(Entry& e) {
    stats_.nd_unresolved += e.waiting.count();
    // Those of a known neighbour count as resolved, not as waiting.
    if (e.mac != MacAddr{}) resolved_count_ -= e.waiting.count();
    e.waiting.clear();
    enter(e, State::free, Instant::never());
}

/// A place for a new neighbour. For others than ourselves only what is free, or known and not in use.
Ndp::Entry* Ndp::claim(const IpAddr& a, Instant now, bool for_ourselves) {
    const auto worth = [](const Entry& e) {
        switch (e.state) {
        case State::free:
            return 0;
        case State::failed:
            return 1;
        case State::stale:
            return 2;
        case State::incomplete:  // whoever provokes answers makes many of these
            return 3;
        default:  // in use
            return 4;
        }
    };
    Entry* victim = nullptr;
    for (Entry& e : set_of(a)) {
        const bool better =
            victim == nullptr || worth(e) < worth(*victim) || (worth(e) == worth(*victim) && e.used < victim->used);
        if (better) victim = &e;
    }
    if (!for_ourselves && worth(*victim) > 2) {
        ++stats_.nd_ignored;
        return nullptr;
    }
    if (victim->state != State::free) {
        ++stats_.nd_evicted;
        release(*victim);
    }
    victim->address = a;
    victim->mac = {};
    victim->used = now;
    return victim;
}

std::optional<MacAddr> Ndp::find(const IpAddr& neighbour, Instant now) {
    Entry* e = lookup(neighbour);
    if (e == nullptr || e->state == State::incomplete || e->state == State::failed) return std::nullopt;
    e->used = now;
    if (e->state == State::reachable && now >= e->next) e->state = State::stale;
    if (e->state == State::stale) enter(*e, State::delay, now + kDelayFirstProbe);
    return e->mac;
}

void Ndp::wait_for(const IpAddr& neighbour, PacketBuffer packet, Instant now) {
    Entry* e = lookup(neighbour);
    if (e == nullptr) e = claim(neighbour, now, true);
    if (e->state == State::free || e->state == State::failed) {
        enter(*e, State::incomplete, now + kRetransmit);
        ask(*e);
        e->tries = 1;
    }
    if (e->waiting.count() == kWaiting) {  // §7.2.2: the newest packets are the ones still wanted
        (void)e->waiting.pop_front();
        ++stats_.nd_queue_overflow;
    }
    if (packets_held() + packet.buffers() > kWaitingTotal) {
        ++stats_.nd_queue_overflow;
        return;
    }
    e->waiting.push_back(std::move(packet));
}

/// What waited may go.
void Ndp::flush(Entry& e) {
    resolved_count_ += e.waiting.count();
}

void Ndp::heard_of(const IpAddr& neighbour, const MacAddr& mac, Instant now) {
    Entry* e = lookup(neighbour);
    if (e == nullptr) {
        e = claim(neighbour, now, false);
        if (e == nullptr) return;
    } else if (e->state != State::incomplete && e->state != State::failed && e->mac == mac) {
        return;
    }
    const bool waited = e->state == State::incomplete || e->state == State::failed;
    e->mac = mac;
    if (waited) flush(*e);
    enter(*e, State::stale, Instant::never());
}

void Ndp::on_advertisement(const Advertisement& a, Instant now) {
    Entry* e = lookup(a.target);
    if (e == nullptr || e->state == State::failed) {
        ++stats_.nd_ignored;
        return;
    }
    if (e->state == State::incomplete) {
        if (!a.mac) {
            ++stats_.nd_ignored;
            return;
        }
        e->mac = *a.mac;
        flush(*e);
        enter(*e, a.solicited ? State::reachable : State::stale, a.solicited ? now + kReachable : Instant::never());
        return;
    }
    const bool other = a.mac && *a.mac != e->mac;
    if (other && !a.override) {  // somebody else may say so; find out
        if (e->state == State::reachable) enter(*e, State::stale, Instant::never());
        return;
    }
    if (other) e->mac = *a.mac;
    if (a.solicited)
        enter(*e, State::reachable, now + kReachable);
    else if (other)
        enter(*e, State::stale, Instant::never());
}

bool Ndp::is_unreachable(const IpAddr& neighbour, Instant now) const {
    const Entry* e = lookup(neighbour);
    return e != nullptr && e->state == State::failed && now < e->next;
}

std::optional<Ndp::Solicitation> Ndp::next_solicitation() {
    if (pending_ == 0) return std::nullopt;
    for (auto& set : sets_) {
        for (Entry& e : set) {
            if (!e.ask) continue;
            e.ask = false;
            --pending_;
            return Solicitation{e.address, e.state == State::probe ? std::optional(e.mac) : std::nullopt};
        }
    }
    return std::nullopt;
}

std::optional<Ndp::Resolved> Ndp::resolved() {
    if (resolved_count_ == 0) return std::nullopt;
    for (auto& set : sets_) {
        for (Entry& e : set) {
            if (e.waiting.empty() || e.mac == MacAddr{}) continue;
            --resolved_count_;
            return Resolved{*e.waiting.pop_front(), e.mac};
        }
    }
    return std::nullopt;
}

void Ndp::poll(Instant now) {
    if (now < deadline_) return;
    deadline_ = Instant::never();
    for (auto& set : sets_) {
        for (Entry& e : set) {
            if (now >= e.next) {
                switch (e.state) {
                case State::delay:  // nothing from above in five seconds: ask
                    enter(e, State::probe, now + kRetransmit);
                    ask(e);
                    e.tries = 1;
                    break;
                case State::incomplete:
                case State::probe:
                    if (e.tries < kTries) {
                        ++e.tries;
                        ask(e);
                        e.next = now + kRetransmit;
                        break;
                    }
                    stats_.nd_unresolved += e.waiting.count();
                    if (e.mac != MacAddr{}) resolved_count_ -= e.waiting.count();
                    while (auto p = e.waiting.pop_front())
                        if (failed_.count() < kWaiting) failed_.push_back(std::move(*p));
                    e.mac = {};
                    enter(e, State::failed, now + kDelayFirstProbe);  // remembered: another router may do better
                    break;
                case State::reachable:
                    enter(e, State::stale, Instant::never());
                    break;
                case State::failed:
                    release(e);
                    break;
                default:
                    break;
                }
            }
            if (e.state != State::free && e.next < deadline_) deadline_ = e.next;
        }
    }
}

void Ndp::clear() {
    for (auto& set : sets_)
        for (Entry& e : set) release(e);
    failed_.clear();
    deadline_ = Instant::never();
}

void Ndp::for_each(FunctionRef<void(const NeighbourInfo&)> visit) const {
    for (const auto& set : sets_)
        for (const Entry& e : set)
            if (e.state != State::free && e.state != State::failed)
                visit({e.address, e.mac, e.state != State::incomplete});
}

usize Ndp::packets_held() const {
    usize n = failed_.buffers();
    for (const auto& set : sets_)
        for (const Entry& e : set) n += e.waiting.buffers();
    return n;
}

}  // namespace ringlet::net
