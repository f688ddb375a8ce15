#include <ringlet/system.hpp>

#include "kernel/panic.hpp"

namespace ringlet {

namespace {
constinit std::span<const Report> registered;
}

std::span<const Report> reports() {
    return registered;
}
void set_reports(std::span<const Report> all) {
    registered = all;
}
void panic_on_purpose(std::string_view reason) {
    kernel::panic(reason);
}

}  // namespace ringlet
