// A virtio console with ports (virtio 1.2 §5.3): one that behaves, and can be made to say anything. Host tests only.
#pragma once

#include <cstring>
#include <deque>
#include <set>

#include "drivers/virtio/spec/console.hpp"
#include "tests/device/virtio_device.hpp"

namespace ringlet::device {

class ConsoleModel final : public VirtioDevice {
public:
    using Spec = virtio::ConsoleSpec;
    using F = Spec::Feature;
    struct HostPort {
        bool there = false, ready = false, guest_open = false, host_open = false, is_console = false;
        std::string name;
        std::string to_guest;     ///< waits for buffers
        std::string from_guest;   ///< arrived
        std::deque<Chain> empty;  ///< receive buffers
        std::deque<Chain> held;   ///< with hold: transmitted, not taken yet
        bool hold = false;
    };
    std::vector<HostPort> ports;
    std::deque<Chain> message_buffers;
    std::deque<std::string> messages;  ///< wait for buffers
    std::set<u32> failed_ports;        ///< PORT_READY 0
    std::string emergency;
    u64 ready = 0;
    u32 lie = 0;  ///< more bytes than were written

    explicit ConsoleModel(bool multiport = true, u32 max = 4) : ports(max) {
        type = Spec::kDeviceId;
        offered = virtio::mask(virtio::Common::version_1, virtio::Common::event_idx, F::emerg_write);
        if (multiport) offered = offered | virtio::mask(F::multiport);
        config.resize(12);
        std::memcpy(&config[4], &max, 4);
        queues.resize(multiport ? 2 * max + 2 : 2);
        for (usize i = 0; i < queues.size(); ++i) queues[i].max_size = i == 2 || i == 3 ? 32 : 128;
        ports[0].there = ports[0].is_console = ports[0].host_open = true;
    }
    bool multiport() const { return accepted.test(unsigned(F::multiport)); }
    void set_size(u16 cols, u16 rows) {
        offered = offered | virtio::mask(F::size);
        change_config([&] { std::memcpy(&config[0], &cols, 2), std::memcpy(&config[2], &rows, 2); });
    }

    // What the host does.
    void plug(u32 id, std::string name) {
        ports[id] = {};
        ports[id].there = true, ports[id].name = std::move(name);
        say(id, Spec::device_add, 1);
    }
    void unplug(u32 id) {
        ports[id].there = false;
        say(id, Spec::device_remove, 1);
    }
    void connect(u32 id, bool open = true) {
        ports[id].host_open = open;
        say(id, Spec::port_open, open);
    }
    void type_in(u32 id, std::string text) {
        ports[id].to_guest += text;
        deliver(id);
    }
    void say(u32 id, u16 event, u16 value, std::string rest = {}) {
        const Spec::Control c{.id = id, .event = event, .value = value};
        say_bytes(std::string(reinterpret_cast<const char*>(&c), sizeof c) + rest);
    }
    void say_bytes(std::string bytes) {
        messages.push_back(std::move(bytes));
        speak();
    }
    void let_go(u32 id) {
        ports[id].hold = false;
        while (!ports[id].held.empty()) swallow(id, ports[id].held.front()), ports[id].held.pop_front();
    }

    void on_config_write(u64 at, unsigned width, u64 v) override {
        if (at != 8 || width != 4 || !offered.test(2)) return VirtioDevice::on_config_write(at, width, v);
        emergency += char(v);
    }
    void on_reset() override {
        message_buffers.clear(), messages.clear();
        for (HostPort& p : ports) p.empty.clear(), p.held.clear(), p.ready = p.guest_open = false;
    }
    void on_notify(u16 queue) override {
        RingDevice& ring = queues[queue].ring;
        ring.busy();
        do {
            while (auto chain = ring.take()) arrived(queue, *chain);
        } while (ring.sleep());
        if (queue == 2 && multiport()) speak();
        for (u32 id = 0; id < ports.size(); ++id)
            if (queue == Spec::receive_queue(id)) deliver(id);
    }

private:
    void arrived(u16 queue, const Chain& chain) {
        if (queue == 2) return message_buffers.push_back(chain);
        if (queue == 3) return hear(chain);
        const u32 id = queue < 2 ? 0 : (queue - 2) / 2;
        const bool receive = queue == Spec::receive_queue(id);
        if (receive ? !chain.out.empty() : !chain.in.empty()) queues[queue].ring.violate("a buffer of the wrong kind");
        if (receive) return ports[id].empty.push_back(chain);
        if (!ports[id].there) queues[queue].ring.violate("output to a port that is not there");
        if (ports[id].hold) return ports[id].held.push_back(chain);
        swallow(id, chain);
    }
    void swallow(u32 id, const Chain& chain) {
        for (const Piece& p : chain.out) ports[id].from_guest.append(reinterpret_cast<const char*>(p.bytes), p.len);
        complete(Spec::transmit_queue(id), chain.id, 0);
    }
    void hear(const Chain& chain) {
        Spec::Control c;
        if (chain.out.size() != 1 || chain.out[0].len != sizeof c || !chain.in.empty())
            return queues[3].ring.violate("not a control message");
        std::memcpy(&c, chain.out[0].bytes, sizeof c);
        complete(3, chain.id, 0);
        if (c.event == Spec::device_ready) {
            ++ready;
            for (u32 id = 0; id < ports.size(); ++id)
                if (ports[id].there) say(id, Spec::device_add, 1);
            return;
        }
        if (c.event == Spec::port_ready && c.value == 0) return void(failed_ports.insert(c.id));
        if (c.id >= ports.size()) return queues[3].ring.violate("a port that does not exist");
        HostPort& p = ports[c.id];
        if (c.event == Spec::port_ready) {
            if (std::exchange(p.ready, true) && p.there) queues[3].ring.violate("PORT_READY twice");
            if (p.is_console) say(c.id, Spec::console_port, 1);
            if (!p.name.empty()) say(c.id, Spec::port_name, 1, p.name);
            if (p.host_open) say(c.id, Spec::port_open, 1);
        } else if (c.event == Spec::port_open) {
            if (!p.ready) queues[3].ring.violate("PORT_OPEN before PORT_READY");
            p.guest_open = c.value != 0;
            deliver(c.id);
        } else {
            queues[3].ring.violate("a message that drivers do not send");
        }
    }
    void speak() {
        while (!messages.empty() && !message_buffers.empty()) {
            const std::string text = std::exchange(messages.front(), {});
            const Chain chain = message_buffers.front();
            messages.pop_front(), message_buffers.pop_front();
            const usize n = std::min<usize>(text.size(), chain.in.at(0).len);
            std::memcpy(chain.in[0].bytes, text.data(), n);
            complete(2, chain.id, u32(n) + lie);
        }
    }
    void deliver(u32 id) {
        HostPort& p = ports[id];
        if (multiport() && (!p.guest_open || !p.there)) return;
        while (!p.to_guest.empty() && !p.empty.empty()) {
            const Chain chain = p.empty.front();
            p.empty.pop_front();
            const usize n = std::min<usize>(p.to_guest.size(), chain.in.at(0).len);
            std::memcpy(chain.in[0].bytes, p.to_guest.data(), n);
            p.to_guest.erase(0, n);
            complete(Spec::receive_queue(id), chain.id, u32(n) + lie);
        }
    }
};

}  // namespace ringlet::device
