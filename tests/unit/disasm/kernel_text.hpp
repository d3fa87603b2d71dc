// The code of kernels that people run: RINGSIDE_TEST_KERNELS names bzImages, separated by colons.
#pragma once

#include <string>
#include <vector>

#include "arch/bytes.hpp"
#include "arch/result.hpp"

namespace ringside::test {

std::vector<std::string> test_kernels();

// Its .text section.
Result<Bytes> kernel_text(const std::string& bzimage);

}  // namespace ringside::test
