// The list of live devices.
#include "drivers/virtio/device_info.hpp"

namespace ringlet::virtio {

namespace {
constinit DeviceRecord* first_device = nullptr;
}

std::string_view DeviceInfo::feature_name(unsigned bit) const {
    for (const FeatureName& n : feature_names)
        if (n.bit == bit) return n.name;
    for (const FeatureName& n : kCommonNames)
        if (n.bit == bit) return n.name;
    return {};
}

void DeviceRecord::list() {
    unlist();
    DeviceRecord** at = &first_device;
    while (*at != nullptr) at = &(*at)->next_;
    *at = this;
}

void DeviceRecord::unlist() {
    for (DeviceRecord** at = &first_device; *at != nullptr; at = &(*at)->next_) {
        if (*at != this) continue;
        *at = next_;
        next_ = nullptr;
        return;
    }
}

void for_each_record(FunctionRef<void(const DeviceRecord&)> visit) {
    for (const DeviceRecord* d = first_device; d != nullptr; d = d->next()) visit(*d);
}

void for_each_device(FunctionRef<void(const DeviceInfo&)> visit) {
    for_each_record([&](const DeviceRecord& d) { visit(d.info()); });
}

}  // namespace ringlet::virtio
