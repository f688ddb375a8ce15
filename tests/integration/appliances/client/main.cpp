// Ringlet as a client: shell commands that use another machine's echo and chargen, and say how many bytes came and
// their CRC.
#include <ringlet/console.hpp>
#include <ringlet/network.hpp>
#include <ringlet/system.hpp>
#include <ringlet/thread.hpp>

#include "lib/crc32.hpp"
#include "lib/parse.hpp"

using namespace ringlet;

namespace {

constexpr Duration kPatience = Duration::from_s(60);

struct Came {
    u64 bytes = 0;
    u32 crc = 0;
};

/// xorshift64: the same bytes for the same seed, of any length.
class Noise {
public:
    explicit Noise(u64 seed) : state_(seed * 2 + 1) {}
    void fill(MutableBytes to) {
        for (std::byte& b : to) {
            state_ ^= state_ << 13, state_ ^= state_ >> 7, state_ ^= state_ << 17;
            b = std::byte(state_ >> 32);
        }
    }

private:
    u64 state_;
};

Result<TcpStream> open(const IpAddr& host, u16 port) {
    TcpStream stream = TRY(TcpStream::connect(network(), {host, port}, kPatience));
    stream.set_read_timeout(kPatience);
    stream.set_write_timeout(kPatience);
    return stream;
}

/// Up to `most` bytes, or to the peer's end.
Result<Came> drain(TcpStream& stream, u64 most) {
    Came came;
    std::byte piece[8192];
    while (came.bytes < most) {
        const usize n = TRY(stream.read(std::span(piece).first(usize(std::min<u64>(sizeof piece, most - came.bytes)))));
        if (n == 0) break;
        came.crc = crc32(came.crc, std::span(piece).first(n));
        came.bytes += n;
    }
    return came;
}

/// Both directions at once; our half is closed behind the last byte.
Result<Came> echo(const IpAddr& host, u64 size, u64 seed, u32& sent) {
    TcpStream stream = TRY(open(host, 7));
    auto writer = TRY(Thread::spawn({.name = "writer", .stack_bytes = 32768}, [&stream, &sent, size, seed] {
        Noise noise(seed);
        std::byte piece[8192];
        for (u64 done = 0; done < size;) {
            const auto part = std::span(piece).first(usize(std::min<u64>(sizeof piece, size - done)));
            noise.fill(part);
            if (!stream.write(part)) return;
            sent = crc32(sent, part);
            done += part.size();
        }
        (void)stream.shutdown_write();
    }));
    return drain(stream, ~u64{0});  // the writer is waited for before its stream goes
}

void report(TextSink to, const Result<Came>& came) {
    if (came)
        format(to, "came: {} bytes, crc {:08x}\n", came->bytes, came->crc);
    else
        format(to, "failed: {}\n", came.error());
}

void talk(TextSink to, std::string_view words) {
    const auto host = IpAddr::parse(next_word(words));
    const auto size = parse_number<u64>(next_word(words)), seed = parse_number<u64>(next_word(words));
    if (!host || !size || !seed) return to("usage: talk HOST BYTES SEED\n");
    u32 sent = 0;
    const auto came = echo(*host, *size, *seed, sent);
    format(to, "sent: crc {:08x}\n", sent);
    report(to, came);
}

void fetch(TextSink to, std::string_view words) {
    const auto host = IpAddr::parse(next_word(words));
    const auto size = parse_number<u64>(next_word(words));
    if (!host || !size) return to("usage: fetch HOST BYTES\n");
    auto stream = open(*host, 19);
    report(to, stream ? drain(*stream, *size) : Result<Came>(fail(stream.error())));
}

}  // namespace

int main() {
    static constexpr Report kReports[] = {
        {"talk", "talk HOST BYTES SEED", "send noise to a host's echo", talk},
        {"fetch", "fetch HOST BYTES", "read a host's chargen", fetch},
    };
    set_reports(kReports);
    print("client: ready\n");
    return 0;
}
