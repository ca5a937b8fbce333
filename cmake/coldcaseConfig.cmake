# find_package(coldcase): the library coldcase::coldcase and what it links.
include(CMakeFindDependencyMacro)
find_dependency(nlohmann_json)
include(${CMAKE_CURRENT_LIST_DIR}/coldcaseTargets.cmake)
