#include "vmm/kvm/fd.hpp"

#include <unistd.h>

namespace ringside::kvm {

Fd::~Fd() {
  if (number_ >= 0) ::close(number_);
}

}  // namespace ringside::kvm
