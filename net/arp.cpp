// RFC 826 with the bounds and rate limits of RFC 1122 §2.3.2. Context: the network monitor.
#include "net/arp.hpp"

#include <algorithm>

#include "net/ethernet.hpp"

namespace ringlet::net {

Arp::Entry* Arp::lookup(Ipv4Addr address) {
    for (Entry& e : sets_[address.value % kSets])
        if (e.state != State::free && e.address == address) return &e;
    return nullptr;
}

void Arp::ask(Entry& e) {
    if (!e.ask) ++pending_requests_;
    e.ask = true;
}

void Arp::release(Entry& e) {
    if (e.state == State::reachable) resolved_count_ -= e.waiting.count();
    stats_.arp_unresolved += e.waiting.count();
    e.waiting.clear();
    if (e.ask) --pending_requests_;
    e.ask = false;
    e.state = State::free;
}

Arp::Entry* Arp::claim(Ipv4Addr address, Instant now, bool for_ourselves) {
    auto& set = sets_[address.value % kSets];
    Entry* victim = nullptr;
    for (Entry& e : set) {
        if (e.state == State::free) {
            victim = &e;
            break;
        }
        // What was not written to for longest goes first; an open question only when all are open questions.
        const bool better = victim == nullptr || (e.state == State::reachable && victim->state == State::incomplete) ||
                            (e.state == victim->state && e.used < victim->used);
        if (better) victim = &e;
    }
    const bool needed = victim->state == State::incomplete || now - victim->used < kInUse;
    if (victim->state != State::free && needed && !for_ourselves) return nullptr;
    if (victim->state != State::free) {
        ++stats_.arp_evicted;
        release(*victim);
    }
    victim->address = address;
    victim->changed = now;
    victim->used = for_ourselves ? now : Instant{now.ns - kInUse.ns};
    victim->tries = 0;
    return victim;
}

const MacAddr* Arp::find(Ipv4Addr address, Instant now) {
    Entry* e = lookup(address);
    if (e == nullptr || e->state != State::reachable) return nullptr;
    if (now >= e->next) [[unlikely]] {
        if (now >= e->changed + kLifetime) {
            release(*e);
            return nullptr;
        }
        e->next = now + kRetry;
        ask(*e);
    }
    e->used = now;
    return &e->mac;
}

void Arp::wait_for(Ipv4Addr address, PacketBuffer packet, Instant now) {
    Entry* e = lookup(address);
    if (e == nullptr) {
        e = claim(address, now, true);
        e->state = State::incomplete;
        e->next = now + kRetry;
        ask(*e);
        due(e->next);
    }
    if (e->waiting.count() == kWaiting) {  // the newest packets are the ones still wanted
        (void)e->waiting.pop_front();
        ++stats_.arp_queue_overflow;
    }
    if (packets_held() + packet.buffers() > kWaitingTotal) {
        ++stats_.arp_queue_overflow;
        return;
    }
    e->waiting.push_back(std::move(packet));
}

void Arp::learn(Entry& e, const MacAddr& mac, Instant now) {
    if (e.state == State::incomplete) resolved_count_ += e.waiting.count();
    e.mac = mac;
    e.state = State::reachable;
    e.changed = now;
    e.next = now + kFresh;
    e.tries = 0;
    if (e.ask) --pending_requests_;
    e.ask = false;
}

std::optional<Arp::Resolved> Arp::resolved() {
    if (resolved_count_ == 0) return std::nullopt;
    for (auto& set : sets_) {
        for (Entry& e : set) {
            if (e.state != State::reachable || e.waiting.empty()) continue;
            --resolved_count_;
            return Resolved{*e.waiting.pop_front(), e.mac};
        }
    }
    return std::nullopt;
}

void Arp::note_conflict(Ipv4Addr address, const MacAddr& by, Instant now) {
    ++stats_.arp_conflicts;
    const bool is_news = conflict_.seen == 0 || conflict_.address != address || now >= conflict_.at + kDefendInterval;
    conflict_news_ |= is_news;
    conflict_ = {address, by, is_news ? now : conflict_.at, conflict_.seen + 1};
}

void Arp::input(const PacketBuffer& packet, const Ipv4Config& self, Instant now) {
    const auto arp = read_at<ArpPacket>(packet.data(), 0);
    if (!arp || arp->htype != 1 || arp->ptype != static_cast<u16>(EtherType::ipv4) || arp->hlen != 6 ||
        arp->plen != 4 || (arp->oper != ArpPacket::kRequest && arp->oper != ArpPacket::kReply)) {
        ++stats_.arp_bad;
        return;
    }
    const Ipv4Addr sender{arp->spa}, target{arp->tpa};
    if (arp->sha.is_multicast() || arp->sha == MacAddr{} || arp->sha == mac_ || sender.is_multicast() ||
        sender.is_broadcast() || sender.is_loopback()) {
        ++stats_.arp_bad;
        return;
    }
    // RFC 5227 §2.1.1: anything from its owner, and a probe of somebody else's for it.
    if (!probed_.is_unspecified() && (sender == probed_ || (sender.is_unspecified() && target == probed_))) {
        probe_taken_ = true;
        note_conflict(probed_, arp->sha, now);
        if (probed_ == self.address) return;  // it is used already, but not ours yet: neither defended nor answered for
    }
    if (self.address.is_unspecified()) {
        ++stats_.arp_ignored;
        return;
    }
    if (sender == self.address) {  // RFC 5227 §2.4: somebody else uses our address; say once in a while that it is ours
        note_conflict(sender, arp->sha, now);
        if (!defended_ || now >= *defended_ + kDefendInterval) {
            defended_ = now;
            announce_ = true;
        }
        return;
    }
    const bool asks_us = arp->oper == ArpPacket::kRequest && target == self.address;
    const bool neighbour = !sender.is_unspecified() && (self.on_link(sender) || sender == self.gateway) &&
                           !self.is_subnet_broadcast(sender);
    bool useful = asks_us;
    if (Entry* asked = lookup(sender); neighbour || (asked != nullptr && !self.is_subnet_broadcast(sender))) {
        Entry* e = asked;                                            // on-link routes reach beyond our own network
        if (e == nullptr && asks_us) e = claim(sender, now, false);  // it will talk to us: RFC 826's merge and add
        if (e != nullptr) {
            // A MAC that changes within a second is a quarrel, not a move: the first word stands.
            const bool believable =
                e->state != State::reachable || e->mac == arp->sha || now >= e->changed + Duration::from_s(1);
            if (believable) learn(*e, arp->sha, now);
            useful = true;
        }
    }
    if (asks_us) {
        if (reply_count_ == replies_.size())
            ++stats_.reply_overflow;
        else
            replies_[reply_count_++] = {arp->sha, sender};
    }
    if (!useful) ++stats_.arp_ignored;
}

void Arp::poll(Instant now) {
    if (now < deadline_) return;
    deadline_ = Instant::never();
    for (auto& set : sets_) {
        for (Entry& e : set) {
            if (e.state != State::incomplete) continue;
            if (now >= e.next) {
                if (e.tries >= kTries) {
                    release(e);
                    continue;
                }
                ask(e);
                e.next = now + kRetry;
            }
            due(e.next);
        }
    }
    if (now >= next_announcement_) {
        announce_ = true;
        next_announcement_ = --announcements_left_ > 0 ? now + kAnnounceInterval : Instant::never();
    }
    due(next_announcement_);
    if (probed_.is_unspecified()) return;
    if (now >= next_probe_) {
        if (probes_left_ > 0) probe_due_ = true;
        next_probe_ = --probes_left_ >= 0 ? now + probe_interval_ : Instant::never();
    }
    due(next_probe_);
}

Arp::Probe Arp::probe(Ipv4Addr address, Duration interval, Instant now) {
    if (address != probed_) {
        probed_ = address;
        probe_interval_ = interval;
        probe_taken_ = false;
        probes_left_ = kProbes;
        next_probe_ = now;
        due(now);
        poll(now);
    }
    if (probe_taken_) return Probe::taken;
    return probes_left_ < 0 ? Probe::free : Probe::asking;
}

void Arp::address_changed(const Ipv4Config& self, Instant tell_at) {
    for (auto& set : sets_)
        for (Entry& e : set) release(e);
    reply_count_ = 0;
    announce_ = false;
    announcements_left_ = self.address.is_unspecified() ? 0 : kAnnouncements;
    next_announcement_ = announcements_left_ == 0 ? Instant::never() : tell_at;
    defended_.reset();
    deadline_ = std::min(next_announcement_, probed_.is_unspecified() ? Instant::never() : next_probe_);
}

void Arp::announce(const Ipv4Config& self, Instant now) {
    if (self.address.is_unspecified()) return;
    announce_ = true;
    announcements_left_ = kAnnouncements - 1;
    next_announcement_ = now + kAnnounceInterval;
    due(next_announcement_);
}

std::optional<PacketBuffer> Arp::build(PacketPool& pool, u16 oper, Ipv4Addr sender, const MacAddr& to,
                                       Ipv4Addr target) {
    auto p = pool.allocate();
    if (!p) {
        ++stats_.no_packet;
        return std::nullopt;
    }
    auto* arp = reinterpret_cast<ArpPacket*>(p->append(sizeof(ArpPacket)).data());
    arp->htype = 1;
    arp->ptype = static_cast<u16>(EtherType::ipv4);
    arp->hlen = 6;
    arp->plen = 4;
    arp->oper = oper;
    arp->sha = mac_;
    arp->spa = sender.value;
    arp->tha = to == MacAddr::broadcast() ? MacAddr{} : to;
    arp->tpa = target.value;
    push_ethernet(*p, to, mac_, EtherType::arp);
    return p;
}

std::optional<PacketBuffer> Arp::output(const Ipv4Config& self, PacketPool& pool) {
    if (announce_) {
        auto p = build(pool, ArpPacket::kRequest, self.address, MacAddr::broadcast(), self.address);
        if (p) announce_ = false;
        return p;
    }
    if (probe_due_) {
        auto p = build(pool, ArpPacket::kRequest, {}, MacAddr::broadcast(), probed_);
        if (p) probe_due_ = false;
        return p;
    }
    if (reply_count_ != 0) {
        const Reply r = replies_[reply_count_ - 1];
        auto p = build(pool, ArpPacket::kReply, self.address, r.mac, r.address);
        if (p) {
            --reply_count_;
            ++stats_.arp_replies_out;
        }
        return p;
    }
    if (pending_requests_ == 0) return std::nullopt;
    for (auto& set : sets_) {
        for (Entry& e : set) {
            if (!e.ask) continue;
            auto p = build(pool, ArpPacket::kRequest, self.address,
                           e.state == State::reachable ? e.mac : MacAddr::broadcast(), e.address);
            if (p) {
                e.ask = false;
                --pending_requests_;
                ++e.tries;
                ++stats_.arp_requests_out;
            }
            return p;
        }
    }
    return std::nullopt;
}

void Arp::for_each(FunctionRef<void(const NeighbourInfo&)> visit) const {
    for (const auto& set : sets_)
        for (const Entry& e : set)
            if (e.state != State::free) visit({e.address, e.mac, e.state == State::reachable});
}

usize Arp::packets_held() const {
    usize n = 0;
    for (const auto& set : sets_)
        for (const Entry& e : set) n += e.waiting.buffers();
    return n;
}

}  // namespace ringlet::net
