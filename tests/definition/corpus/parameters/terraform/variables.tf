variable "repository" {
  type        = string
  description = "owner/name on the git host"
  validation {
    condition     = can(regex("^[\\w.-]+/[\\w.-]+$", var.repository))
    error_message = "The repository must be of the form owner/name."
  }
}

variable "environment" {
  type    = string
  default = "test"
}

variable "branches" {
  type    = list(string)
  default = ["develop", "main"]
}
