// A virtio SCSI host (virtio 1.2 §5.6) with any number of units, written from the specifications and not from the
// driver: disks, CD-ROMs, unit attentions, events, task management; slow, silent and lying on demand. Host tests only.
#pragma once

#include <cstring>
#include <deque>
#include <list>

#include "drivers/virtio/spec/scsi.hpp"
#include "tests/device/virtio_device.hpp"

namespace ringlet::device {

struct ScsiUnit {
    u8 target = 0;
    u16 lun = 0;
    u8 type = 0;
    u32 block = 512;
    std::vector<u8> bytes;
    std::vector<bool> mapped;  ///< per block: not unmapped since it was written
    std::string serial, product = "TEST DISK";
    bool removable = false, medium = true, write_cache = true, write_protected = false, thin = false;
    bool silent = false;  ///< takes commands and says nothing
    u32 busy = 0;         ///< so many commands are answered BUSY
    u32 not_ready = 0;    ///< so many are answered "becoming ready"
    bool lbpu = true;
    u32 max_unmap = 1 << 16;
    std::deque<std::pair<u8, u8>> attentions;
    std::pair<u64, u8> bad_block{~u64{0}, 0};  ///< a read of it fails with this sense key
    u64 reads = 0, writes = 0, flushes = 0, unmaps = 0, same = 0, commands = 0;

    u64 blocks() const { return bytes.size() / block; }
};

class ScsiDevice final : public VirtioDevice {
public:
    using Spec = virtio::ScsiSpec;
    struct Taken {
        u16 queue = 0;
        Chain chain;
        u64 tag = 0;
        Spec::Lun lun{};
        bool stuck = false;  ///< its unit was silent when it came
    };
    std::list<ScsiUnit> units;
    std::deque<Taken> waiting;  ///< taken, not served; those of silent units stay
    bool immediate = true;
    enum class Tmf { works, rejects, lies, silent } tmf = Tmf::works;
    bool tmf_aborts = true;                 ///< ABORT TASK works (else it is rejected)
    std::vector<std::pair<u32, u64>> tmfs;  ///< subtype and tag of each
    std::deque<std::pair<u16, Chain>> event_buffers;
    bool events_missed = false;
    std::function<void(Spec::CommandResponse&, std::vector<u8>& data)> spoil;
    bool writes_response = true;
    u64 served = 0;

    explicit ScsiDevice(u16 request_queues = 2) {
        type = Spec::kDeviceId;
        using F = Spec::Feature;
        using virtio::Common;
        offered = virtio::mask(Common::version_1, Common::event_idx, Common::indirect_desc, F::hotplug, F::change);
        config.resize(36);
        put<u32>(0, request_queues);
        put<u32>(4, 126);
        put<u32>(8, 0xffff);
        put<u32>(12, 128);
        put<u32>(16, 16);
        put<u32>(20, 96);
        put<u32>(24, 32);
        put<u16>(30, 255);
        put<u32>(32, 16383);
        queues.resize(2u + request_queues);
        for (Queue& q : queues) q.max_size = q.size = 128;
    }
    template <class T> void put(usize at, T v) { std::memcpy(config.data() + at, &v, sizeof v); }

    ScsiUnit& add(u8 target, u16 lun, u64 blocks = 2048, u32 block = 512) {
        ScsiUnit& u = units.emplace_back();
        u.target = target, u.lun = lun, u.block = block;
        u.bytes.resize(blocks * block);
        u.mapped.resize(blocks, true);
        u.serial = "S" + std::to_string(target) + "." + std::to_string(lun);
        return u;
    }
    ScsiUnit* find(u8 target, u16 lun) {
        for (ScsiUnit& u : units)
            if (u.target == target && u.lun == lun) return &u;
        return nullptr;
    }
    void unplug(u8 target, u16 lun) {
        units.remove_if([&](const ScsiUnit& u) { return u.target == target && u.lun == lun; });
    }
    static Spec::Lun address(u8 target, u16 lun) { return {1, target, u8(0x40 | lun >> 8), u8(lun)}; }

    void event(u32 what, u32 reason, u8 target, u16 lun, u32 written = 16) {
        if (event_buffers.empty()) {
            events_missed = true;
            return;
        }
        auto [queue, chain] = event_buffers.front();
        event_buffers.pop_front();
        const Spec::Event e{what | (std::exchange(events_missed, false) ? Spec::kEventsMissed : 0),
                            address(target, lun), reason};
        std::memcpy(chain.in.at(0).bytes, &e, sizeof e);
        complete(queue, chain.id, written);
    }

    void on_notify(u16 queue) override {
        RingDevice& ring = queues[queue].ring;
        ring.busy();
        do {
            while (auto chain = ring.take()) {
                if (queue == 0) {
                    task_management(*chain);
                } else if (queue == 1) {
                    if (!chain->out.empty() || chain->writable() < 16) ring.violate("malformed event buffer");
                    event_buffers.emplace_back(queue, *chain);
                } else {
                    take(queue, *chain);
                }
            }
        } while (ring.sleep());
        if (immediate) serve_all();
    }
    void on_reset() override {
        waiting.clear();
        event_buffers.clear();
        tmf_stuck.clear();
    }
    void serve_all() {
        for (usize i = 0; i < waiting.size() && live();) {
            if (waiting[i].stuck)
                ++i;
            else
                serve(i), i = 0;
        }
    }
    void wake_up() {
        for (ScsiUnit& u : units) u.silent = false;
        for (Taken& t : waiting) t.stuck = false;
        serve_all();
    }

    /// Answers one of the commands that wait.
    void serve(usize which) {
        const Taken t = waiting.at(which);
        waiting.erase(waiting.begin() + std::ptrdiff_t(which));
        Spec::CommandRequest request;
        std::memcpy(static_cast<void*>(&request), t.chain.out[0].bytes, sizeof request);
        Answer a;
        std::vector<u8> out = gather(t.chain.out, 1);
        ScsiUnit* u = unit_of(t.lun);
        const bool at_target = u == nullptr && any_at(t.lun);
        if (u != nullptr || at_target)
            a = execute(u, t.lun, request.cdb.data(), out, t.chain.writable() - u32(sizeof(Spec::CommandResponse)));
        else
            a.response = Spec::kBadTarget;
        finish(t, a);
    }
    void finish_aborted(const Taken& t, u8 response) {
        Answer a;
        a.response = response;
        finish(t, a);
    }

    std::deque<Chain> tmf_stuck;

private:
    struct Answer {
        u8 response = 0, status = 0;
        std::vector<u8> sense, data;
        void check(u8 key, u8 asc, u8 ascq) {
            status = 2;
            sense = {0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0};
            data.clear();
        }
    };

    ScsiUnit* unit_of(const Spec::Lun& lun) {
        if (lun[0] != 1 || (lun[2] != 0 && lun[2] >> 6 != 1)) return nullptr;
        return find(lun[1], u16((lun[2] << 8 | lun[3]) & 0x3fff));
    }
    bool any_at(const Spec::Lun& lun) {
        for (const ScsiUnit& u : units)
            if (u.target == lun[1]) return true;
        return false;
    }
    static std::vector<u8> gather(const std::vector<Piece>& pieces, usize first) {
        std::vector<u8> v;
        for (usize i = first; i < pieces.size(); ++i) {
            const u8* p = reinterpret_cast<const u8*>(pieces[i].bytes);
            v.insert(v.end(), p, p + pieces[i].len);
        }
        return v;
    }

    void take(u16 queue, const Chain& chain) {
        RingDevice& ring = queues[queue].ring;
        if (chain.out.empty() || chain.out[0].len != sizeof(Spec::CommandRequest) || chain.in.empty() ||
            chain.in[0].len != sizeof(Spec::CommandResponse))
            return ring.violate("malformed command");
        Spec::CommandRequest request;
        std::memcpy(static_cast<void*>(&request), chain.out[0].bytes, sizeof request);
        for (const Taken& t : waiting)
            if (t.tag == request.id) ring.violate("tag used twice");
        if (request.lun[0] != 1) ring.violate("LUN field does not begin with 1");
        const ScsiUnit* u = unit_of(request.lun);
        waiting.push_back({queue, chain, request.id, request.lun, u != nullptr && u->silent});
    }

    void finish(const Taken& t, Answer a) {
        Spec::CommandResponse r{};
        const u32 room = t.chain.writable() - u32(sizeof r);
        if (a.data.size() > room) a.data.resize(room);
        r.response = a.response;
        r.status = a.status;
        r.sense_len = u32(a.sense.size());
        std::copy(a.sense.begin(), a.sense.end(), r.sense.begin());
        const u32 expected = std::max(room, u32(gather(t.chain.out, 1).size()));
        r.residual = a.status != 0 || a.response != 0 ? expected : room != 0 ? room - u32(a.data.size()) : 0;
        if (spoil) spoil(r, a.data);
        if (writes_response) std::memcpy(t.chain.in[0].bytes, &r, sizeof r);
        usize at = 0;
        for (usize i = 1; i < t.chain.in.size() && at < a.data.size(); ++i) {
            const usize n = std::min<usize>(t.chain.in[i].len, a.data.size() - at);
            std::memcpy(t.chain.in[i].bytes, a.data.data() + at, n);
            at += n;
        }
        ++served;
        complete(t.queue, t.chain.id, u32(sizeof r + at));
    }

    void task_management(const Chain& chain) {
        RingDevice& ring = queues[0].ring;
        if (chain.out.size() != 1 || chain.out[0].len != sizeof(Spec::TmfRequest) || chain.writable() != 1)
            return ring.violate("malformed task management request");
        Spec::TmfRequest request;
        std::memcpy(static_cast<void*>(&request), chain.out[0].bytes, sizeof request);
        if (request.type != 0 || request.subtype > 7) return ring.violate("unknown control request");
        tmfs.emplace_back(request.subtype, request.id);
        if (tmf == Tmf::silent) return tmf_stuck.push_back(chain);
        u8 answer = 0;
        const u32 what = request.subtype;
        if (unit_of(request.lun) == nullptr && what != 4) {
            answer = any_at(request.lun) ? Spec::kIncorrectLun : Spec::kBadTarget;
        } else if (tmf == Tmf::rejects || (what == 0 && !tmf_aborts) || what == 2) {
            answer = Spec::kFunctionRejected;
        } else if (tmf == Tmf::works) {
            bool found = false;
            std::vector<Taken> aborted;  // first, since the driver may send them again at once
            for (usize i = 0; i < waiting.size();) {
                const Taken t = waiting[i];
                const bool same_unit = t.lun == request.lun, same_target = t.lun[1] == request.lun[1];
                const bool hit = what == 0 || what == 6 ? t.tag == request.id && same_unit
                                 : what == 4            ? same_target
                                                        : same_unit;
                found = found || hit;
                if (!hit || what >= 6) {
                    ++i;
                    continue;
                }
                waiting.erase(waiting.begin() + std::ptrdiff_t(i));
                aborted.push_back(t);
            }
            for (const Taken& t : aborted) finish_aborted(t, what == 4 || what == 5 ? Spec::kReset : Spec::kAborted);
            if (what >= 6 && found) answer = Spec::kFunctionSucceeded;
        }
        *chain.in[0].bytes = std::byte(answer);
        complete(0, chain.id, 1);
    }

    static u64 be(const u8* p, int n) {
        u64 v = 0;
        for (int i = 0; i < n; ++i) v = v << 8 | p[i];
        return v;
    }
    static void to_be(std::vector<u8>& v, usize at, u64 value, int n) {
        if (v.size() < at + usize(n)) v.resize(at + usize(n));
        for (int i = 0; i < n; ++i) v[at + usize(i)] = u8(value >> 8 * (n - 1 - i));
    }

    Answer execute(ScsiUnit* u, const Spec::Lun& lun, const u8* cdb, const std::vector<u8>& out, u32 room) {
        Answer a;
        if (cdb[0] == 0xa0) return report_luns(lun);
        if (u == nullptr) {  // a unit that is not there, at a target that is
            if (cdb[0] == 0x12)
                a.data = {0x7f, 0, 5, 2, 31};
            else
                a.check(5, 0x25, 0);
            return a;
        }
        ++u->commands;
        if (u->busy != 0 && cdb[0] != 0x12) return --u->busy, a.status = 8, a;
        if (cdb[0] == 0x12) return inquiry(*u, cdb);
        if (cdb[0] == 0x03) return a.data.resize(18), a.data[0] = 0x70, a;
        if (!u->attentions.empty()) {
            const auto [asc, ascq] = u->attentions.front();
            u->attentions.pop_front();
            return a.check(6, asc, ascq), a;
        }
        if (u->not_ready != 0) return --u->not_ready, a.check(2, 4, 1), a;
        if (!u->medium && cdb[0] != 0x1a && cdb[0] != 0x5a) return a.check(2, 0x3a, 0), a;
        run(*u, cdb, out, room, a);
        return a;
    }

    Answer report_luns(const Spec::Lun& lun) {
        Answer a;
        a.data.resize(8);
        std::vector<u16> numbers;
        for (const ScsiUnit& u : units)
            if (u.target == lun[1]) numbers.push_back(u.lun);
        to_be(a.data, 0, numbers.size() * 8, 4);
        for (const u16 n : numbers) {
            to_be(a.data, a.data.size(), n < 256 ? n : 0x4000 | n, 2);
            a.data.resize(a.data.size() + 6);
        }
        return a;
    }

    Answer inquiry(ScsiUnit& u, const u8* cdb) {
        Answer a;
        auto& d = a.data;
        const auto text = [&](const std::string& s, usize n) {
            for (usize i = 0; i < n; ++i) d.push_back(u8(i < s.size() ? s[i] : ' '));
        };
        if ((cdb[1] & 1) == 0) {
            d = {u.type, u8(u.removable ? 0x80 : 0), 5, 2, 31, 0, 0, 2};
            text("RINGLET", 8), text(u.product, 16), text("1", 4);
        } else {
            d = {u.type, cdb[2], 0, 0};
            switch (cdb[2]) {
            case 0x00:
                d.insert(d.end(), {0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2});
                break;
            case 0x80:
                text(u.serial, u.serial.size());
                break;
            case 0x83:
                d.insert(d.end(), {2, 0, 0, u8(u.serial.size())});
                text(u.serial, u.serial.size());
                break;
            case 0xb0:
                d.resize(64);
                to_be(d, 20, u.lbpu ? u.max_unmap : 0, 4), to_be(d, 24, u.lbpu ? 1 : 0, 4), to_be(d, 28, 8, 4);
                break;
            case 0xb1:
                d.resize(64), d[5] = 1;
                break;
            case 0xb2:
                d.resize(8), d[5] = u.thin ? (u.lbpu ? u8(0xe4) : u8(0x64)) : 0, d[6] = u.thin ? 2 : 0;
                break;
            default:
                return a.check(5, 0x24, 0), a;
            }
            to_be(d, 2, d.size() - 4, 2);
        }
        d.resize(std::min<usize>(d.size(), be(cdb + 3, 2)));
        return a;
    }

    void run(ScsiUnit& u, const u8* cdb, const std::vector<u8>& out, u32 room, Answer& a) {
        const bool cd = u.type == 5;
        u64 lba = 0, count = 0;
        const auto ten = [&] { lba = be(cdb + 2, 4), count = be(cdb + 7, 2); };
        const auto sixteen = [&] { lba = be(cdb + 2, 8), count = be(cdb + 10, 4); };
        const auto inside = [&] {
            if (lba <= u.blocks() && count <= u.blocks() - lba) return true;
            a.check(5, 0x21, 0);
            return false;
        };
        switch (cdb[0]) {
        case 0x00:
        case 0x1b:
            return;
        case 0x25:
            to_be(a.data, 0, std::min<u64>(u.blocks() - 1, 0xffffffff), 4), to_be(a.data, 4, u.block, 4);
            return;
        case 0x9e:
            if (cd || (cdb[1] & 31) != 0x10) return a.check(5, 0x20, 0);
            to_be(a.data, 0, u.blocks() - 1, 8), to_be(a.data, 8, u.block, 4), a.data.resize(32);
            a.data[14] = u.thin ? 0xc0 : 0;
            return;
        case 0x1a:
            if (cd) return a.check(5, 0x20, 0);
            a.data = {0, 0, u8(u.write_protected ? 0x80 : 0), 0, 8, 18, u8(u.write_cache ? 4 : 0)};
            a.data.resize(24), a.data[0] = 23;
            return;
        case 0x28:
        case 0x88:
            cdb[0] == 0x28 ? ten() : sixteen();
            if (!inside()) return;
            if (count * u.block != room) return a.check(5, 0x26, 0);
            ++u.reads;
            if (u.bad_block.first >= lba && u.bad_block.first < lba + count)
                return a.check(u.bad_block.second, 0x11, 0);
            a.data.assign(&u.bytes[lba * u.block], &u.bytes[lba * u.block] + count * u.block);
            return;
        case 0x2a:
        case 0x8a:
            cdb[0] == 0x2a ? ten() : sixteen();
            if (u.write_protected || cd) return a.check(7, 0x27, 0);
            if (!inside()) return;
            if (count * u.block != out.size()) return a.check(5, 0x26, 0);
            ++u.writes;
            std::copy(out.begin(), out.end(), u.bytes.begin() + long(lba * u.block));
            for (u64 i = 0; i < count; ++i) u.mapped[lba + i] = true;
            return;
        case 0x35:
        case 0x91:
            ++u.flushes;
            return;
        case 0x41:
        case 0x93:
            cdb[0] == 0x41 ? ten() : sixteen();
            if (!inside()) return;
            if (out.size() != u.block) return a.check(5, 0x26, 0);
            ++u.same;
            return fill(u, lba, count, out, (cdb[1] & 8) != 0);
        case 0x42: {
            if (!u.thin || !u.lbpu) return a.check(5, 0x20, 0);
            if (out.size() != 24 || be(&out[0], 2) != 22 || be(&out[2], 2) != 16) return a.check(5, 0x26, 0);
            lba = be(&out[8], 8), count = be(&out[16], 4);
            if (!inside()) return;
            if (count > u.max_unmap) return a.check(5, 0x26, 0);
            ++u.unmaps;
            return fill(u, lba, count, std::vector<u8>(u.block), true);
        }
        default:
            return a.check(5, 0x20, 0);
        }
    }
    static void fill(ScsiUnit& u, u64 lba, u64 count, const std::vector<u8>& with, bool unmap) {
        for (u64 i = 0; i < count; ++i) {
            std::copy(with.begin(), with.end(), u.bytes.begin() + long((lba + i) * u.block));
            u.mapped[lba + i] = !unmap;
        }
    }
};

}  // namespace ringlet::device
