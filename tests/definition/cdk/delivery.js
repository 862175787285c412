const path = require('path');
const cdk = require('aws-cdk-lib');
const cp = require('aws-cdk-lib/aws-codepipeline');
const ca = require('aws-cdk-lib/aws-codepipeline-actions');
const ecr = require('aws-cdk-lib/aws-ecr');
const lambda = require('aws-cdk-lib/aws-lambda');
const pipelines = require('aws-cdk-lib/pipelines');
const s3 = require('aws-cdk-lib/aws-s3');
const sns = require('aws-cdk-lib/aws-sns');


class Service extends cdk.Stage {
  constructor(scope, id, props) {
    super(scope, id, props);
    const stack = new cdk.Stack(this, 'Service');
    const fn = new lambda.Function(stack, 'Function', {
      runtime: lambda.Runtime.NODEJS_22_X, handler: 'index.handler', code: lambda.Code.fromAsset(path.join(__dirname, 'function')),
    });
    this.url = new cdk.CfnOutput(stack, 'Url', {value: fn.functionName});
    const inner = new cdk.NestedStack(stack, 'Inner');
    new s3.Bucket(inner, 'Bucket');
  }
}

const app = new cdk.App();

// A pipeline that updates itself, publishes assets and deploys two stages, one of them to another account.
const own = new cdk.Stack(app, 'Delivery', {env: {account: '111122223333', region: 'eu-west-1'}});
const input = pipelines.CodePipelineSource.connection('example/shop', 'main', {
  connectionArn: 'arn:aws:codeconnections:eu-west-1:111122223333:connection/5f0c7a5e-6f0b-4b52-9a4e-1d2b3c4d5e6f',
});
const delivery = new pipelines.CodePipeline(own, 'Pipeline', {
  pipelineName: 'shop-delivery', crossAccountKeys: true, pipelineType: cp.PipelineType.V2,
  synth: new pipelines.ShellStep('Synth', {input, commands: ['npm ci', 'npx cdk synth'], env: {STAGE: 'all'}}),
});
const beta = new Service(app, 'Beta', {env: {account: '111122223333', region: 'eu-west-1'}});
delivery.addStage(beta, {
  pre: [new pipelines.ShellStep('Lint', {input, commands: ['npm run lint']})],
  post: [new pipelines.ShellStep('Smoke', {envFromCfnOutputs: {URL: beta.url}, commands: ['curl -f $URL']})],
});
const wave = delivery.addWave('Production', {pre: [new pipelines.ManualApprovalStep('Release', {comment: 'as beta?'})]});
wave.addStage(new Service(app, 'Ireland', {env: {account: '444455556666', region: 'eu-west-1'}}));
wave.addStage(new Service(app, 'Ohio', {env: {account: '444455556666', region: 'us-east-2'}}));

// Two pipelines of one stack, one of them within a nested stack; names come from parameters and from another stack.
const base = new cdk.Stack(app, 'Base', {env: {account: '111122223333', region: 'eu-west-1'}});
const repository = new ecr.Repository(base, 'Repository');
const topic = new sns.Topic(base, 'Approvals');
const many = new cdk.Stack(app, 'Many', {env: {account: '111122223333', region: 'eu-west-1'}});
const branch = new cdk.CfnParameter(many, 'Branch', {default: 'develop'});
const bucket = new s3.Bucket(many, 'Sources', {versioned: true});

function pipelineIn(scope, name, mutate) {
  const source = new cp.Artifact('Source');
  const from = new ca.S3SourceAction({actionName: 'Archive', bucket, bucketKey: `${branch.valueAsString}/source.zip`, output: source});
  const image = new ca.EcrBuildAndPublishAction({
    actionName: 'Image', repositoryName: repository.repositoryName, registryType: ca.RegistryType.PRIVATE,
    imageTags: ['v1'], input: source, variablesNamespace: 'Image',
  });
  return new cp.Pipeline(scope, name, {
    pipelineName: `shop-${name.toLowerCase()}`, pipelineType: cp.PipelineType.V2,
    stages: [
      {stageName: 'Source', actions: [from]},
      {stageName: 'Build', actions: [image], beforeEntry: {conditions: [{result: cp.Result.SKIP, rules: [new cp.Rule({
        name: 'Checked', provider: 'VariableCheck', version: '1',
        configuration: {Variable: from.variables.versionId, Value: 'null', Operator: 'NE'},
      })]}]}},
      {stageName: 'Scan', actions: [
        new ca.InspectorSourceCodeScanAction({actionName: 'Code', input: source, output: new cp.Artifact('Sbom'), criticalThreshold: 0}),
        new ca.ManualApprovalAction({actionName: 'Ok', notificationTopic: topic, runOrder: 2}),
      ]},
    ],
  });
}
pipelineIn(many, 'Outer');
pipelineIn(new cdk.NestedStack(many, 'Nested'), 'Inner');
app.synth();
