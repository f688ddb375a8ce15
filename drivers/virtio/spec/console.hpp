// Console device, virtio 1.2 §5.3: constants only, under the specification's names. Checked, never executed.
#pragma once

#include <cstddef>

#include "drivers/virtio/features.hpp"
#include "lib/endian.hpp"

namespace ringlet::virtio {

struct ConsoleSpec {
    static constexpr u16 kDeviceId = 3;
    static constexpr std::string_view kName = "console";
    static constexpr std::string_view kUnit = "console";

    enum class Feature : u8 { size = 0, multiport = 1, emerg_write = 2 };  // §5.3.3
    static constexpr std::array<Needs, 0> kNeeds{};
    static constexpr FeatureName kNames[] = {{0, "size"}, {1, "multiport"}, {2, "emerg_write"}};

    // §5.3.2: port 0 has the first two queues; the others follow the control queues, which MULTIPORT brings.
    static constexpr u16 kControlReceive = 2, kControlTransmit = 3;
    static constexpr u16 receive_queue(u32 port) { return u16(port == 0 ? 0 : 2 * port + 2); }
    static constexpr u16 transmit_queue(u32 port) { return u16(receive_queue(port) + 1); }

    struct Config {  // §5.3.4
        le16 cols, rows;
        le32 max_nr_ports, emerg_wr;
    };
    static_assert(sizeof(Config) == 12);
    static constexpr ConfigField<u16, offsetof(Config, cols), Feature::size> kCols{};
    static constexpr ConfigField<u16, offsetof(Config, rows), Feature::size> kRows{};
    static constexpr ConfigField<u32, offsetof(Config, max_nr_ports), Feature::multiport> kMaxPorts{};
    static constexpr usize kEmergencyWrite = offsetof(Config, emerg_wr);

    struct Control {  // §5.3.6.2; a name or a size may follow
        le32 id;
        le16 event, value;
    };
    static_assert(sizeof(Control) == 8);
    enum Event : u16 {
        device_ready = 0,
        device_add = 1,
        device_remove = 2,
        port_ready = 3,
        console_port = 4,
        resize = 5,
        port_open = 6,
        port_name = 7,
    };
    struct Size {  // §5.3.6.2.1
        le16 cols, rows;
    };
};

}  // namespace ringlet::virtio
