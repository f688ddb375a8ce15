// One pair of a receive and a transmit queue of the network device, virtio 1.3 §5.1.6, and what waits in front of the
// latter. Context: the network monitor.
#pragma once

#include <array>
#include <atomic>
#include <optional>

#include "drivers/virtio/net_config.hpp"
#include "drivers/virtio/net_frames.hpp"
#include "drivers/virtio/virtqueue.hpp"
#include "net/packet_queue.hpp"

namespace ringlet::virtio {

template <NetConfig kC, Ring R> struct NetPair {
    using RxQueue = Virtqueue<R, net::PacketBuffer, kC.rx_size>;
    using TxQueue = Virtqueue<R, net::PacketBuffer, kC.tx_size>;

    std::optional<RxQueue> rx;
    std::optional<TxQueue> tx;
    Assembly assembly;
    net::PacketQueue held;                                       ///< with their headers; sent before anything else
    std::atomic<bool> rx_signalled{false}, tx_signalled{false};  ///< an interrupt came, and nothing was found yet
    CounterSet<RxCount> received;
    CounterSet<TxCount> sent;

    [[gnu::always_inline]] std::optional<net::PacketBuffer> receive() {
        while (auto used = rx->pop()) {
            rx_signalled.store(false, std::memory_order_relaxed);
            auto p = assembly.take(std::move(used->token), used->written, rx->in_flight());
            if (!p) {
                received.add(RxCount::iqdrops, assembly.take_drops());
                continue;
            }
            received.add(RxCount::ipackets);
            received.add(RxCount::ibytes, p->total_size());
            const net::PacketMeta& meta = p->meta();
            if (meta.checksum != net::PacketMeta::Checksum::none) received.add(RxCount::csum);
            if (meta.gso != net::PacketMeta::Gso::none) received.add(RxCount::host_lro);
            return p;
        }
        if (rx_signalled.exchange(false, std::memory_order_relaxed)) rx->note_spurious();
        return std::nullopt;
    }

    /// Finished transmissions go back to the pool. False: there were none.
    bool reap() {
        bool reaped = false;
        while (tx->pop()) reaped = true;
        const bool signalled = tx_signalled.exchange(false, std::memory_order_relaxed);
        if (signalled && !reaped) tx->note_spurious();
        if (reaped) tx->suppress();  // keeps the EVENT_IDX hint behind the device
        return reaped;
    }
    /// Sends what is held. How many packets fit then.
    u16 room(CounterSet<NetCount>& count) {
        if (tx->broken()) return 0;
        while (!held.empty()) {
            net::PacketBuffer p = *held.pop_front();
            if (add(p)) continue;
            if (tx->in_flight() == 0) {  // not even an empty queue holds it
                count.add(NetCount::tx_dropped);
                continue;
            }
            held.insert_after({}, std::move(p));
            return 0;
        }
        return tx->free();
    }

    /// Something waits for room, or half of the ring is out.
    bool is_behind() const { return !held.empty() || tx->in_flight() > tx->size() / 2; }

    /// False: it does not fit now, and is still the caller's.
    bool add(net::PacketBuffer& p) {
        if (p.fragments() == 1) {
            const Segment s{p.dma(), u32(p.size())};
            return tx->add({&s, 1}, {}, p);
        }
        if constexpr (kC.tx_fragments == 1) return false;
        std::array<Segment, kC.tx_fragments> pieces;
        const usize n = gather(p, pieces);
        return n != 0 && tx->add({pieces.data(), n}, {}, p);
    }
    /// A packet that found no descriptors: room() said that a packet fits, but not how large.
    void hold(net::PacketBuffer p, CounterSet<NetCount>& count) {
        if (tx->broken()) return count.add(NetCount::tx_dropped);
        count.add(NetCount::tx_held);
        held.push_back(std::move(p));
    }
};

}  // namespace ringlet::virtio
