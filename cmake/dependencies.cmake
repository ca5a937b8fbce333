# What coldcase is built from, each with the Debian 12 package that has it. Archives are linked where Debian
# ships them, so that the program needs nothing but glibc.
find_package(PkgConfig REQUIRED)

function(coldcase_need name package)
  if(NOT ${name})
    message(FATAL_ERROR "coldcase needs ${package}. On Debian 12: apt-get install ${package}, or run tools/setup")
  endif()
endfunction()

# libdw, libelf: reading CFI, DWARF and symbol tables.
find_path(LIBDW_INCLUDE elfutils/libdw.h)
find_library(LIBDW_ARCHIVE NAMES libdw.a)
find_library(LIBELF_ARCHIVE NAMES libelf.a)
find_library(LZMA_ARCHIVE NAMES liblzma.a)
find_library(BZ2_ARCHIVE NAMES libbz2.a)
find_library(Z_ARCHIVE NAMES libz.a)
coldcase_need(LIBDW_INCLUDE libdw-dev)
coldcase_need(LIBDW_ARCHIVE libdw-dev)
coldcase_need(LIBELF_ARCHIVE libelf-dev)
coldcase_need(LZMA_ARCHIVE liblzma-dev)
coldcase_need(BZ2_ARCHIVE libbz2-dev)
coldcase_need(Z_ARCHIVE zlib1g-dev)
add_library(coldcase_dw INTERFACE)
target_include_directories(coldcase_dw INTERFACE ${LIBDW_INCLUDE})
target_link_libraries(coldcase_dw INTERFACE ${LIBDW_ARCHIVE} ${LIBELF_ARCHIVE} ${LZMA_ARCHIVE} ${BZ2_ARCHIVE} ${Z_ARCHIVE})

# libmd: SHA-256, the identity of an input.
find_path(MD_INCLUDE sha256.h)
find_library(MD_ARCHIVE NAMES libmd.a)
coldcase_need(MD_INCLUDE libmd-dev)
coldcase_need(MD_ARCHIVE libmd-dev)
target_include_directories(coldcase_dw INTERFACE ${MD_INCLUDE})
target_link_libraries(coldcase_dw INTERFACE ${MD_ARCHIVE})

# libiberty: Rust's names.
find_path(IBERTY_INCLUDE libiberty/demangle.h)
find_library(IBERTY_ARCHIVE NAMES libiberty.a)
coldcase_need(IBERTY_INCLUDE libiberty-dev)
coldcase_need(IBERTY_ARCHIVE libiberty-dev)
target_include_directories(coldcase_dw INTERFACE ${IBERTY_INCLUDE})
target_link_libraries(coldcase_dw INTERFACE ${IBERTY_ARCHIVE})

# zstd: compressed cores.
find_path(ZSTD_INCLUDE zstd.h)
find_library(ZSTD_ARCHIVE NAMES libzstd.a)
coldcase_need(ZSTD_INCLUDE libzstd-dev)
coldcase_need(ZSTD_ARCHIVE libzstd-dev)
add_library(coldcase_zstd INTERFACE)
target_include_directories(coldcase_zstd INTERFACE ${ZSTD_INCLUDE})
target_link_libraries(coldcase_zstd INTERFACE ${ZSTD_ARCHIVE})

# libarchive: other compressions, tar and zip. nettle is what it decrypts zips with.
find_path(ARCHIVE_INCLUDE archive.h)
find_library(ARCHIVE_ARCHIVE NAMES libarchive.a)
find_library(NETTLE_ARCHIVE NAMES libnettle.a)
find_library(LZ4_ARCHIVE NAMES liblz4.a)
coldcase_need(ARCHIVE_INCLUDE libarchive-dev)
coldcase_need(ARCHIVE_ARCHIVE libarchive-dev)
coldcase_need(NETTLE_ARCHIVE nettle-dev)
coldcase_need(LZ4_ARCHIVE liblz4-dev)
add_library(coldcase_archive INTERFACE)
target_include_directories(coldcase_archive INTERFACE ${ARCHIVE_INCLUDE})
target_link_libraries(coldcase_archive INTERFACE ${ARCHIVE_ARCHIVE} ${NETTLE_ARCHIVE} ${LZ4_ARCHIVE}
  ${LZMA_ARCHIVE} ${ZSTD_ARCHIVE} ${BZ2_ARCHIVE} ${Z_ARCHIVE})

# capstone: instructions of the dead process's code. Debian ships it as an archive; Zydis, smaller, as a
# shared object alone.
find_path(CAPSTONE_INCLUDE capstone/capstone.h)
find_library(CAPSTONE_ARCHIVE NAMES libcapstone.a)
coldcase_need(CAPSTONE_INCLUDE libcapstone-dev)
coldcase_need(CAPSTONE_ARCHIVE libcapstone-dev)
add_library(coldcase_capstone INTERFACE)
target_include_directories(coldcase_capstone INTERFACE ${CAPSTONE_INCLUDE})
target_link_libraries(coldcase_capstone INTERFACE ${CAPSTONE_ARCHIVE})

# tl::expected: what std::expected will be; the one third-party type in our public headers.
find_path(EXPECTED_INCLUDE tl/expected.hpp)
coldcase_need(EXPECTED_INCLUDE libexpected-dev)
add_library(coldcase_expected INTERFACE)
target_link_libraries(coldcase_expected INTERFACE)

# nlohmann/json: reading reports back. CLI11: the command line.
find_package(nlohmann_json QUIET)
coldcase_need(nlohmann_json_FOUND nlohmann-json3-dev)
find_package(CLI11 QUIET)
coldcase_need(CLI11_FOUND libcli11-dev)
