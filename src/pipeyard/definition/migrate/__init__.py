"""From a CodeBuild project that builds and pushes an image to the ECRBuildAndPublish action: what can be carried over,
and the edits of the user's own text that do it, comments and layout kept. Pure."""
