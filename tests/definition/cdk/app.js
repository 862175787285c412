const cdk = require('aws-cdk-lib');
const cp = require('aws-cdk-lib/aws-codepipeline');
const ca = require('aws-cdk-lib/aws-codepipeline-actions');
const cb = require('aws-cdk-lib/aws-codebuild');
const ecr = require('aws-cdk-lib/aws-ecr');
const lambda = require('aws-cdk-lib/aws-lambda');
const app = new cdk.App();
const base = new cdk.Stack(app, 'WebBase', {env: {account: '111122223333', region: 'eu-west-1'}});
const repository = new ecr.Repository(base, 'Repository', {repositoryName: 'web', imageScanOnPush: true});
const stack = new cdk.Stack(app, 'WebPipeline', {env: {account: '111122223333', region: 'eu-west-1'}});
const source = new cp.Artifact('Source');
const built = new cp.Artifact('Built');
const project = new cb.PipelineProject(stack, 'Tests', {
  environment: {buildImage: cb.LinuxBuildImage.STANDARD_7_0, privileged: true},
  environmentVariables: {STAGE: {value: 'test'}, REPOSITORY: {value: repository.repositoryUri}},
  buildSpec: cb.BuildSpec.fromObject({version: '0.2', env: {'exported-variables': ['VERSION']}, phases: {build: {commands: ['make test', 'export VERSION=1']}}}),
});
const checkout = new ca.CodeStarConnectionsSourceAction({
  actionName: 'Checkout', owner: 'example', repo: 'web', branch: 'main', output: source,
  connectionArn: 'arn:aws:codeconnections:eu-west-1:111122223333:connection/5f0c7a5e-6f0b-4b52-9a4e-1d2b3c4d5e6f',
  variablesNamespace: 'SourceVars', triggerOnPush: true,
});
const test = new ca.CodeBuildAction({actionName: 'Test', project, input: source, outputs: [built],
  environmentVariables: {COMMIT: {value: checkout.variables.commitId}}});
const image = new ca.EcrBuildAndPublishAction({
  actionName: 'Image', repositoryName: repository.repositoryName, registryType: ca.RegistryType.PRIVATE,
  dockerfileDirectoryPath: './service', imageTags: [checkout.variables.commitId, 'latest'], input: source,
  variablesNamespace: 'BuildVars',
});
const pipeline = new cp.Pipeline(stack, 'Pipeline', {
  pipelineName: 'web', pipelineType: cp.PipelineType.V2, executionMode: cp.ExecutionMode.QUEUED,
  variables: [new cp.Variable({variableName: 'environment', defaultValue: 'staging', description: 'where it goes'})],
  triggers: [{providerType: cp.ProviderType.CODE_STAR_SOURCE_CONNECTION, gitConfiguration: {sourceAction: checkout,
    pushFilter: [{branchesIncludes: ['main', 'release/**'], filePathsExcludes: ['docs/**']}]}}],
  stages: [
    {stageName: 'Source', actions: [checkout]},
    {stageName: 'Build', actions: [test, image]},
    {stageName: 'Check', actions: [
      new ca.InspectorEcrImageScanAction({actionName: 'Scan', repository, imageTag: checkout.variables.commitId, output: new cp.Artifact('Sbom'), highThreshold: 3}),
      new ca.CommandsAction({actionName: 'Smoke', input: built, commands: ['echo #{variables.environment}', 'export RESULT=ok'], outputVariables: ['RESULT'], runOrder: 2}),
    ], onFailure: {result: cp.Result.RETRY, retryMode: cp.RetryMode.FAILED_ACTIONS}},
    {stageName: 'Approve', actions: [new ca.ManualApprovalAction({actionName: 'Release', additionalInformation: `commit ${checkout.variables.commitId}`, timeout: cdk.Duration.hours(8)})],
     transitionToEnabled: false, transitionDisabledReason: 'not yet'},
  ],
});
new cdk.CfnOutput(stack, 'Name', {value: pipeline.pipelineName, exportName: 'web-pipeline'});
// region-agnostic stack, inside of a CDK stage
const stage = new cdk.Stage(app, 'Nightly');
const other = new cdk.Stack(stage, 'Plain');
const src2 = new cp.Artifact();
const ecrRepo = new ecr.Repository(other, 'Own');
const src = new ca.CodeStarConnectionsSourceAction({actionName: 'Checkout', owner: 'example', repo: 'nightly', branch: 'main', output: src2, connectionArn: 'arn:aws:codestar-connections:us-east-1:111122223333:connection/0a1b2c3d-6f0b-4b52-9a4e-1d2b3c4d5e6f'});
new cp.Pipeline(other, 'Nightly', {pipelineType: cp.PipelineType.V2, crossAccountKeys: true, stages: [
  {stageName: 'Source', actions: [src]},
  {stageName: 'Image', actions: [new ca.EcrBuildAndPublishAction({actionName: 'Image', repositoryName: ecrRepo.repositoryName, registryType: ca.RegistryType.PRIVATE, imageTags: ['nightly', src.variables.commitId], input: src2})]},
]});
app.synth();
