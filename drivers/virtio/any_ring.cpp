// EitherRing's beginning and end.
#include "drivers/virtio/any_ring.hpp"

namespace ringlet::virtio {

Result<EitherRing> EitherRing::create(const RingOptions& options) {
    if (!valid_size(options.size)) return fail(Error::invalid);
    if (options.packed) return EitherRing(TRY(PackedRing::create(options)));
    return EitherRing(TRY(SplitRing::create(options)));
}

EitherRing::EitherRing(EitherRing&& o) noexcept : is_packed_(o.is_packed_) {
    if (is_packed_)
        std::construct_at(&packed_, std::move(o.packed_));
    else
        std::construct_at(&split_, std::move(o.split_));
}

EitherRing::~EitherRing() {
    if (is_packed_)
        std::destroy_at(&packed_);
    else
        std::destroy_at(&split_);
}

}  // namespace ringlet::virtio
